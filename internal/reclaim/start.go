package reclaim

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/buildwatch/buildwatch/internal/failpoint"
)

// Start has a helper's program started as a user, with these for its standard input and
// output, which stay the caller's. It returns when the program runs.
type Start func(ctx context.Context, uid uint32, in, out *os.File, limit time.Duration) error

// ByHelper is a Runner by a program that is started as the user.
func ByHelper(start Start) Runner {
	return func(ctx context.Context, uid uint32, job Job) (Result, error) {
		ctx, cancel := context.WithTimeout(ctx, unitLimit+toolWait)
		defer cancel()
		if err := failpoint.At(failpoint.Reclaim); err != nil {
			return Result{}, err
		}
		jobOut, jobIn, err := os.Pipe()
		if err != nil {
			return Result{}, err
		}
		defer jobIn.Close()
		resultOut, resultIn, err := os.Pipe()
		if err != nil {
			jobOut.Close()
			return Result{}, err
		}
		defer resultOut.Close()
		err = start(ctx, uid, jobOut, resultIn, unitLimit)
		jobOut.Close()
		resultIn.Close()
		if err != nil {
			return Result{}, err
		}
		// The other ends are a user's, who may do nothing with them.
		stop := context.AfterFunc(ctx, func() { jobIn.Close(); resultOut.Close() })
		defer stop()
		go func() {
			_, _ = jobIn.Write(encode(job))
			jobIn.Close()
		}()
		var result Result
		if err := decode(resultOut, &result); err != nil {
			return Result{}, fmt.Errorf("the helper's answer: %w", err)
		}
		return result, result.check()
	}
}
