package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// say is what a word means; of a word of a later version, the word itself.
func say[T interface {
	~string
	Meaning() string
}](word T) string {
	if meaning := word.Meaning(); meaning != "" {
		return meaning
	}
	return quote(string(word))
}

// why says what is done with a build, and why.
func why(e api.Explanation) string {
	text := say(e.Verdict)
	if e.Doing != "" && (e.Verdict == api.VerdictEnding || e.Verdict == api.VerdictRefusing) {
		text += ": " + say(e.Doing)
	}
	return text
}

// overBy are the changes by which a build that is kept is over.
var overBy = []api.Change{api.ChangeOwnerEnds, api.ChangeRequestEnds, api.ChangeServiceEnds, api.ChangeBuilderEnds}

// until says what would change that.
func until(e api.Explanation, kept bool) string {
	fact := func(name api.FactName) api.Fact {
		i := slices.IndexFunc(e.Facts, func(f api.Fact) bool { return f.Name == name })
		if i < 0 {
			return api.Fact{}
		}
		return e.Facts[i]
	}
	var changes []string
	for _, change := range e.ChangesWhen {
		text := say(change)
		at := fact(map[api.Change]api.FactName{api.ChangeDeadline: api.FactDeadline, api.ChangeMaxRuntime: api.FactMaxRuntime}[change]).At
		if !at.IsZero() {
			text += ", at " + timestamp(at)
		}
		changes = append(changes, text)
	}
	text := strings.Join(changes, "; or ")
	switch {
	case kept && !slices.ContainsFunc(e.ChangesWhen, func(c api.Change) bool { return slices.Contains(overBy, c) }):
	case kept && fact(api.FactPolicy).Value == api.ValueReports:
		text += ". What is left then is only reported"
	case kept:
		text += ". What is left then is ended"
	case text == "":
		text = "nothing calls that back"
	case e.Verdict == api.VerdictRefusing, e.Verdict == api.VerdictRefused:
		text += ". Nothing calls that back"
	}
	return text
}

// describeFact says what is known.
func describeFact(f api.Fact) string {
	switch f.Value {
	case api.ValueLives:
		return processOf(f) + " lives"
	case api.ValueEnded:
		if f.Name == api.FactWaiters {
			return "a process that waited for the owner has ended before it"
		}
		return processOf(f) + " has ended"
	case api.ValueUnseen:
		return "nobody saw who started it"
	case api.ValueWaits:
		if len(f.PIDs) > 1 {
			return processOf(f) + " wait for the owner"
		}
		return processOf(f) + " waits for the owner"
	case api.ValueServed:
		return "it is served"
	case api.ValueThere:
		return whatIsThere(f)
	case api.ValueGone:
		return whatIsGone(f)
	case api.ValueNone:
		return "no process is there"
	case api.ValueUnknown:
		return whatIsUnknown(f)
	case api.ValueAhead:
		return "it is over at " + timestamp(f.At)
	case api.ValueOver:
		return "it is over"
	case api.ValueBeforehand:
		return "it was to end for that before buildwatchd was restarted"
	case api.ValueSet:
		return describeLimits(f.Limits)
	case api.ValueShort:
		if f.Shortage == nil {
			return "it was short of it"
		}
		return quote(f.Shortage.String())
	case api.ValueOutlived:
		return fmt.Sprintf("%d processes have outlived SIGKILL", count(f))
	case api.ValueAsked:
		if f.UID != nil {
			return fmt.Sprintf("asked for by UID %d", *f.UID)
		}
		return "asked for"
	}
	return say(f.Value)
}

func count(f api.Fact) int {
	if f.Count == nil {
		return 0
	}
	return *f.Count
}

// processOf names the processes that a fact is about.
func processOf(f api.Fact) string {
	text := "PID " + strings.Join(each(f.PIDs, strconv.Itoa), ", ")
	if f.Command != "" {
		text += " (" + f.Command + ")"
	}
	return text
}

func whatIsThere(f api.Fact) string {
	switch {
	case f.Path != "":
		return f.Path + " is there"
	case count(f) == 1:
		return "1 process is there"
	}
	return fmt.Sprintf("%d processes are there", count(f))
}

func whatIsGone(f api.Fact) string {
	if f.Path != "" {
		return f.Path + " is gone"
	}
	state := "gone"
	if f.Name == api.FactConnections {
		state = "closed"
	}
	text := fmt.Sprintf("%d of the %d that may be its own are %s", count(f), f.Of, state)
	if f.Partial {
		text += ", and not all can be looked at"
	}
	return text
}

func whatIsUnknown(f api.Fact) string {
	switch {
	case f.Doubt != "":
		return "whether it is over can't be told: " + say(f.Doubt)
	case f.Error != "":
		return "whether processes are there can't be told: " + f.Error
	case f.Name == api.FactConnections:
		return "none that may be its own is known"
	}
	return "it is not known"
}

// describeLimits says which limits a scope has, and who has set them.
func describeLimits(l *api.Limits) string {
	if l == nil {
		return "it has some"
	}
	var parts []string
	for _, given := range []struct {
		values []string
		who    string
	}{{l.Configuration, "the configuration"}, {l.User, "its user"}} {
		if len(given.values) > 0 {
			parts = append(parts, strings.Join(given.values, ", ")+" by "+given.who)
		}
	}
	if len(l.Unit) > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s hold for the scope too, by themselves: no budget is shared", strings.Join(l.Unit, ", "), strings.Join(l.Units, ", ")))
	}
	return strings.Join(parts, "; ")
}
