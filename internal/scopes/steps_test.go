package scopes

import "testing"

// TestStepsAreWithoutACommand: the time and the members of a scope's containers alone.
func TestStepsAreWithoutACommand(t *testing.T) {
	_, own := realCgroups(t)
	command := makeSub(t, own, commandDir)
	step := makeSub(t, makeSub(t, own, payloadDir), runPrefix+"c")
	const work = `i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done`
	startIn(t, command, work)
	s := &Scope{dir: own}
	if used, steps := s.StepsCPUTime(), s.Steps(); used != 0 || len(steps) != 0 {
		t.Errorf("without a step, %v was used by %v", used, steps)
	}
	p := startIn(t, step, work)
	if steps := s.Steps(); len(steps) != 1 || steps[0].PID != p.Process.Pid {
		t.Errorf("the steps are %v, want %d", steps, p.Process.Pid)
	}
	if used, all := s.StepsCPUTime(), s.CPUTime(); used <= 0 || used >= all {
		t.Errorf("the steps used %v, all of it %v", used, all)
	}
	gathered := &Scope{dir: own, gathered: true}
	if steps := gathered.Steps(); len(steps) != 2 {
		t.Errorf("of gathered ones, the steps are %v", steps)
	}
}

// BenchmarkStepsCPUTime is what a look at a build costs that may hang for all that is
// known.
func BenchmarkStepsCPUTime(b *testing.B) {
	_, own := realCgroups(b)
	d, err := own.ensure(payloadDir)
	if err != nil {
		b.Fatal(err)
	}
	defer d.close()
	s := &Scope{dir: own}
	for b.Loop() {
		s.StepsCPUTime()
	}
}
