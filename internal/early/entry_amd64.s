#include "textflag.h"

// The program's entry point, see the package's comment. Only system calls and static
// memory may be used: neither a goroutine's stack nor Go's runtime is there yet. The stack
// pointer, and what it points to, belong to the code that follows.
TEXT ·entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	$158, AX		// arch_prctl(ARCH_SET_FS, &threadLocal[1]): it is looked 8 bytes below
	MOVQ	$0x1002, DI
	LEAQ	·threadLocal+8(SB), SI
	SYSCALL
	MOVQ	SP, BX
	SUBQ	$32, SP
	MOVQ	BX, 16(SP)
	MOVQ	BX, 0(SP)
	CALL	·passThrough(SB)	// returns if this call is the rest of the program's
	MOVQ	16(SP), SP

	MOVQ	$1, R12			// the signal
next:
	MOVQ	$13, AX			// rt_sigaction(signal, NULL, &disposition, 8)
	MOVQ	R12, DI
	XORQ	SI, SI
	LEAQ	·disposition(SB), DX
	MOVQ	$8, R10
	SYSCALL
	TESTQ	AX, AX
	JNE	skip
	MOVQ	·disposition(SB), AX
	CMPQ	AX, $1			// SIG_IGN
	JNE	skip
	LEAQ	-1(R12), CX
	MOVQ	$1, AX
	SHLQ	CX, AX
	ORQ	AX, ·ignored(SB)
skip:
	INCQ	R12
	CMPQ	R12, $64
	JLE	next
	XORQ	DX, DX			// as the kernel leaves it for a static program
	JMP	_rt0_amd64_linux(SB)
