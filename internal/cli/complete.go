package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/buildwatch/buildwatch/api"
)

// completionPatience is short: a shell waits for it.
const completionPatience = time.Second

// completeIDs offers the builds that were not given yet.
func (a *app) completeIDs(cmd *cobra.Command, given []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
	defer cancel()
	builds, err := a.source(cmd.Flags()).list(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offers []cobra.Completion
	for _, b := range builds {
		if strings.HasPrefix(b.ID, begun) && !slices.Contains(given, b.ID) {
			r := row{build: b}
			offers = append(offers, cobra.CompletionWithDesc(r.ID(), fmt.Sprintf("%s, %s", r.State(), r.Owner())))
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}

// completeFlags offers values for those flags of a command that have a closed
// set of them. The error of registering is that there is no such flag.
func completeFlags(cmd *cobra.Command) {
	_ = cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(sortNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"json", "table "}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	_ = cmd.RegisterFlagCompletionFunc("time", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("filter", func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		key, _, chosen := strings.Cut(begun, "=")
		if !chosen {
			offer := func(k filterKey) cobra.Completion { return cobra.CompletionWithDesc(k.key+"=", k.help) }
			return each(filterKeys, offer), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		}
		var values []cobra.Completion
		switch key {
		case "state":
			values = withKey(key, api.States())
		case "reason":
			values = withKey(key, api.Reasons())
		case "mode":
			values = withKey(key, api.Modes())
		}
		return values, cobra.ShellCompDirectiveNoFileComp
	})
}

func withKey[T ~string](key string, values []T) []cobra.Completion {
	return each(values, func(value T) cobra.Completion { return key + "=" + string(value) })
}

func joinNames(names []string) string { return strings.Join(names, ", ") }
