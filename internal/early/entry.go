//go:build amd64 || arm64

package early

// ignored has bit n-1 set for each signal n that was ignored.
var ignored uint64

// disposition is where the kernel puts a struct sigaction.
var disposition [4]uint64

// noGoroutine is where a Go function finds the bound of its stack, see entry_amd64.s: 0.
//
// Source: go/src/runtime/runtime2.go, g; go/src/cmd/compile/abi-internal.md.
var noGoroutine [64]uintptr

// threadLocal is where a Go function that is called by assembly finds its goroutine. Go's
// runtime puts its own in the place, when it starts.
var threadLocal = [2]*[64]uintptr{&noGoroutine}

//lint:ignore U1000 the linker calls it (-E …/internal/early.entry)
func entry()

// The assembler's references are not seen by the compiler.
var _, _, _ = disposition, threadLocal, passThrough

// Ignored returns the signals that the program was started with as ignored: bit n-1 for
// signal n. Of a program without the entry point it returns none.
func Ignored() uint64 { return ignored }
