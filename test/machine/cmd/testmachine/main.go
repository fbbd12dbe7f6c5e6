// Command testmachine boots throwaway test machines. See package machine.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/buildwatch/buildwatch/test/machine/cli"
)

func main() {
	err := cli.Run(os.Args[1:])
	if code := cli.ExitError(1); errors.As(err, &code) {
		os.Exit(int(code))
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "testmachine:", err)
		os.Exit(1)
	}
}
