package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
)

// explain says why the build is kept, or is being ended: by what is known of it,
// since when, and by what the state machine makes of that.
func (b *build) explain() api.Explanation {
	containers := b.containersNow()
	b.mu.Lock()
	defer b.mu.Unlock()
	keeps := keptBy(b.status, b.record.Mode, b.known)
	facts := []api.Fact{}
	for _, name := range api.FactNames() {
		fact := api.Fact{Name: name, Source: sourceOf(name)}
		if k, ok := b.known[name]; ok {
			fact.Value, fact.Since = k.value, k.since
		}
		switch name {
		case api.FactContainers:
			fact = containers
		case api.FactPolicy:
			fact.Value, fact.Since = b.watcher.policy.describe(), b.watcher.since
		case api.FactMotion:
			if b.status.State == api.StateStalled {
				fact.Value, fact.Since = "nothing of it has moved, and every thread of its emulated processes waits for another", b.stalled.since
			}
		case api.FactSurvivors:
			if n := b.remains.Known(); n > 0 && b.status.State == api.StateStuck {
				fact.Value, fact.Since = fmt.Sprintf("%d processes have outlived SIGKILL", n), b.remains.stuck
			}
		case api.FactDeadline:
			fact = b.timeFact(fact, b.deadline())
		case api.FactMaxRuntime:
			fact = b.timeFact(fact, b.lastMoment())
		}
		switch {
		case fact.Value == "":
			continue
		case slices.Contains(keeps, name):
			fact.Decides = api.DecidesKeep
		case name == b.cause && !b.status.State.Wanted():
			fact.Decides = api.DecidesEnd
		}
		facts = append(facts, fact)
	}
	verdict, changes := judge(b.status, b.record.Mode)
	if b.status.State.Wanted() {
		changes += b.timesLeft()
	}
	return api.Explanation{Verdict: verdict, ChangesWhen: changes, Facts: facts}
}

func (p Policy) describe() string {
	if p.Report {
		return "abandoned builds are only reported"
	}
	return "abandoned builds are ended"
}

// containersNow looks whether any process of the build's is there.
func (b *build) containersNow() api.Fact {
	fact := api.Fact{Name: api.FactContainers, Source: api.SourceCgroup}
	held := b.processes()
	if held.None() {
		return fact
	}
	if held.Scope == nil {
		fact.Source = api.SourceProc
	}
	held.Look()
	switch busy, err := held.Busy(); {
	case err != nil:
		fact.Value = "whether processes are there can't be told: " + err.Error()
	case busy:
		if n := len(held.Members()); n == 1 {
			fact.Value = "1 process is there"
		} else {
			fact.Value = fmt.Sprintf("%d processes are there", n)
		}
	default:
		fact.Value = "no process is there"
	}
	return fact
}

// timeFact completes what is known of a deadline, 0 for none.
func (b *build) timeFact(fact api.Fact, at time.Duration) api.Fact {
	if at > 0 && fact.Value == "" {
		fact.Value, fact.Since = "it is over at "+wallClock(at), b.record.Created()
	}
	return fact
}

// wallClock is what clocks will show at a point of CLOCK_MONOTONIC.
func wallClock(at time.Duration) string {
	return time.Now().Add(at - monotonic()).Format(time.RFC3339)
}

// timesLeft says when time alone changes what is done. It is called with the lock.
func (b *build) timesLeft() string {
	text := ""
	if at := b.deadline(); at > 0 {
		text += "; the time that its user gave it is over, at " + wallClock(at)
	}
	if at := b.lastMoment(); at > 0 {
		text += "; max_runtime is over, at " + wallClock(at)
	}
	return text
}

// keptBy lists the facts by which a build is not ended now.
func keptBy(s lifecycle.Status, mode api.Mode, known map[api.FactName]knowledge) []api.FactName {
	var keeps []api.FactName
	switch {
	case s.Reported():
		return []api.FactName{api.FactPolicy}
	case !s.State.Wanted():
		return nil
	case mode == api.ModeAPI:
		keeps = []api.FactName{api.FactRequest}
		if _, ok := known[api.FactRequest]; !ok {
			keeps = []api.FactName{api.FactOwner}
		}
	default:
		keeps = []api.FactName{api.FactOwner}
		if _, ok := known[api.FactWaiters]; ok {
			keeps = append(keeps, api.FactWaiters)
		}
	}
	return keeps
}

// judge says what is done with a build in this state and stage, and what would
// have to happen for that to change.
func judge(s lifecycle.Status, mode api.Mode) (verdict, changes string) {
	stop := `somebody who may asks by "buildwatchctl stop"`
	fate := "what is left is ended"
	if s.ReportOnly {
		fate = "it is reported, and left alone"
	}
	if s.Refusing() {
		if s.Refused {
			return fmt.Sprintf("it is to end (%s): a RUN step of it was refused, and its owner gets no signal while none runs", s.Reason),
				"its owner ends; nothing calls the end back"
		}
		return fmt.Sprintf("it is to end (%s): %s", s.Reason, s.Stage.Now()),
			"its owner ends, completes the build, or begins another RUN step, which fails; nothing calls the end back"
	}
	switch s.State {
	case api.StateRunning:
		if mode == api.ModeAPI {
			return "it is kept, because its API request is not over",
				"the request ends: its client goes and its directory is removed, or all connections that may be its own are closed, or the service ends. If processes are left then, " + fate + ". Or " + stop
		}
		return "it is kept, because its owner lives",
			"the owner, or a process that waits for it, ends: if processes are left then, " + fate + ". Or " + stop
	case api.StateUnsure:
		if mode == api.ModeAPI {
			return "it is kept, because it can't be told whether its API request is over",
				"it can be told: all connections, or all requests, that may be its own are over; or its last process ends, or the service does. Until then it is kept, however long that is. Or " + stop
		}
		if s.OwnerLives {
			return "it is kept, because its builder lives, and nobody saw whether it is that build's or of a step that is over",
				"the builder ends: if processes are left then, " + fate + ". Or they end by themselves, or " + stop
		}
		return "it is kept, because nobody saw whom it belongs to", "its processes end by themselves, or " + stop
	case api.StateStalled:
		return "it is kept, because its owner lives, though it hangs: nothing of it can go on by itself", "something of it goes on, or its owner ends, or " + stop
	case api.StateAbandoned:
		if s.Reported() {
			return fmt.Sprintf("it is over (%s) and would be ended, but is only reported: nothing is sent to it", s.Reason),
				"its processes end by themselves, or " + stop + ", or buildwatchd is restarted with another policy"
		}
		return fmt.Sprintf("it is being ended (%s); containers that are being made are awaited first", s.Reason),
			"nothing calls that back; its processes are told to end next"
	case api.StateTerminating, api.StateKilling:
		return fmt.Sprintf("it is being ended (%s): %s", s.Reason, s.Stage.Now()), "nothing calls that back; the ladder goes on until nothing is left"
	case api.StateStuck:
		return fmt.Sprintf("it was ended (%s), and something has survived SIGKILL: there is nothing more to send", s.Reason),
			"the kernel lets go of what is left, or what that waits for becomes the build's alone and is ended: see ladder.abort_fuse"
	}
	return strings.TrimSpace("nothing of it is left " + string(s.Reason)), "nothing"
}
