//go:build !amd64 && !arm64

package main

// inheritedIgnored is not known here, see entry.go.
const inheritedIgnored uint64 = 0
