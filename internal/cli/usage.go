package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// atLeastOne is the value of a flag that takes a number above 0; without the flag it is 0.
type atLeastOne int

func (c *atLeastOne) String() string { return strconv.Itoa(int(*c)) }

func (*atLeastOne) Type() string { return "int" }

func (c *atLeastOne) Set(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return errors.New("not a number above 0")
	}
	*c = atLeastOne(n)
	return nil
}

// inOurWords says what is wrong with a call without the names of Go's functions, and without
// the words of the flags' package.
//
// Source: spf13/pflag, errors.go; strconv, NumError.
func inOurWords(cmd *cobra.Command, err error) string {
	bad, isBad := errors.AsType[*pflag.InvalidValueError](err)
	missing, isMissing := errors.AsType[*pflag.ValueRequiredError](err)
	unknown, isUnknown := errors.AsType[*pflag.NotExistError](err)
	number, isNumber := errors.AsType[*strconv.NumError](err)
	switch {
	case isBad && isNumber && number.Func == "ParseBool":
		return fmt.Sprintf("--%s %q: takes no value but true or false", bad.GetFlag().Name, bad.GetValue())
	case isBad && isNumber:
		return fmt.Sprintf("--%s %q: not a number that can be used", bad.GetFlag().Name, bad.GetValue())
	case isBad:
		return fmt.Sprintf("--%s %q: %s", bad.GetFlag().Name, bad.GetValue(), errors.Unwrap(bad))
	case isMissing:
		name, _ := pflag.UnquoteUsage(missing.GetFlag())
		return fmt.Sprintf("--%s needs a %s", missing.GetFlag().Name, name)
	case isUnknown && unknown.GetSpecifiedShortnames() != "":
		return "there is no flag -" + unknown.GetSpecifiedName()
	case isUnknown:
		text := "there is no flag --" + unknown.GetSpecifiedName()
		if like := flagsLike(cmd, unknown.GetSpecifiedName()); len(like) > 0 {
			text += ", did you mean " + strings.Join(like, " or ")
		}
		return text
	}
	return strings.TrimSpace(err.Error())
}

// flagsLike returns the flags of a command that a mistyped name may have meant. How much two
// names are alike is cobra's to say, which knows it of commands only.
func flagsLike(cmd *cobra.Command, name string) []string {
	names := &cobra.Command{SuggestionsMinimumDistance: maxMistyped}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	var like []string
	for _, found := range names.SuggestionsFor(name) {
		like = append(like, "--"+found)
	}
	return like
}
