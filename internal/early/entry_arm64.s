#include "textflag.h"

// See entry_amd64.s.
TEXT ·entry(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD	RSP, R19
	SUB	$32, RSP
	MOVD	R19, 16(RSP)
	MOVD	R19, 8(RSP)
	MOVD	$·noGoroutine(SB), g
	BL	·passThrough(SB)	// returns if this call is the rest of the program's
	MOVD	16(RSP), R19
	MOVD	R19, RSP

	MOVD	$1, R19			// the signal
next:
	MOVD	R19, R0			// rt_sigaction(signal, NULL, &disposition, 8)
	MOVD	$0, R1
	MOVD	$·disposition(SB), R2
	MOVD	$8, R3
	MOVD	$134, R8
	SVC
	CBNZ	R0, skip
	MOVD	·disposition(SB), R4
	CMP	$1, R4			// SIG_IGN
	BNE	skip
	SUB	$1, R19, R5
	MOVD	$1, R4
	LSL	R5, R4, R4
	MOVD	·ignored(SB), R6
	ORR	R4, R6, R6
	MOVD	R6, ·ignored(SB)
skip:
	ADD	$1, R19
	CMP	$64, R19
	BLE	next
	MOVD	$0, R0			// as the kernel leaves it for a static program
	B	_rt0_arm64_linux(SB)
