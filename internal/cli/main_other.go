//go:build !linux

package cli

// Start runs the program that args call.
func Start(args []string, environment Environment) int {
	return Main(args[1:], environment)
}
