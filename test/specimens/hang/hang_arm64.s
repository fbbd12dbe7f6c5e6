#include "textflag.h"

// hang waits for ever in futex(2), on a word of its stack that is 0.
TEXT main·hang(SB),NOSPLIT|NOFRAME,$0
	SUB	$16, RSP
	MOVD	ZR, (RSP)
again:
	MOVD	RSP, R0
	MOVD	$0, R1		// FUTEX_WAIT
	MOVD	$0, R2		// while the word is 0
	MOVD	$0, R3		// no timeout
	MOVD	$98, R8		// SYS_futex
	SVC
	B	again
