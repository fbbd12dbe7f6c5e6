package share

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

func user(n int) Account { return Account{UID: uint32(1000 + n)} }

// fill takes places until there is none, and returns how many it got.
func fill(p *Pool, a Account, evict func()) int {
	for n := 0; ; n++ {
		if _, ok := p.TakeEvictable(a, evict); !ok {
			return n
		}
	}
}

func TestEachUserHasABoundOfItsOwn(t *testing.T) {
	p := NewPool(Bounds{User: 2, Users: 100})
	release, ok := p.Take(user(0))
	if !ok || fill(p, user(0), nil) != 1 {
		t.Fatal("not two places for one user")
	}
	if n := fill(p, user(1), nil); n != 2 {
		t.Errorf("another user got %d", n)
	}
	release()
	release() // counts once
	if n := fill(p, user(0), nil); n != 1 {
		t.Errorf("%d places were free after one was given back", n)
	}
}

func TestWhatIsThereAlreadyCounts(t *testing.T) {
	p := NewPool(Bounds{User: 2, Users: 3})
	for range 5 {
		p.Force(user(0))
	}
	if n := fill(p, user(0), nil) + fill(p, user(1), nil); n != 0 || p.InUse() != 5 {
		t.Errorf("%d places beyond those that are taken, %d in use", n, p.InUse())
	}
}

// TestUsersDoNotKeepRootOut: however many they are.
func TestUsersDoNotKeepRootOut(t *testing.T) {
	for _, test := range []struct{ bound, want int }{{3, 3}, {0, 100}} {
		p := NewPool(Bounds{User: 2, Users: 4, Root: test.bound})
		for n := range 3 {
			fill(p, user(n), func() {})
		}
		got := 0
		for range 100 {
			if _, ok := p.Take(Account{}); ok {
				got++
			}
		}
		if got != test.want {
			t.Errorf("root got %d places, want %d", got, test.want)
		}
	}
}

// TestWhoNeedsLittleFindsAPlace where others take all that they can get.
func TestWhoNeedsLittleFindsAPlace(t *testing.T) {
	p := NewPool(Bounds{User: 8, Users: 32, Spare: 8, Few: 2})
	for n := range 3 {
		if got := fill(p, user(n), nil); got != 8 {
			t.Errorf("user %d got %d places, want 8", n, got)
		}
	}
	for n := 3; n < 7; n++ {
		if got := fill(p, user(n), nil); got != 2 {
			t.Errorf("user %d got %d of the places that are kept for those who have few, want 2", n, got)
		}
	}
	if got := fill(p, user(7), nil); got != 0 {
		t.Errorf("there are %d places beyond the bound", got)
	}
}

// TestWhoHasTheMostLosesToWhoHasLess: in the end all have the same.
func TestWhoHasTheMostLosesToWhoHasLess(t *testing.T) {
	p := NewPool(Bounds{User: 64, Users: 1024})
	const users = 200
	var lost atomic.Int32
	taken := 0
	for n := range users {
		got := fill(p, user(n), func() { lost.Add(1) })
		if taken += got; got == 0 {
			t.Fatalf("user %d got nothing", n)
		}
	}
	least, most := 1024, 0
	for _, places := range p.held {
		least, most = min(least, len(places)), max(most, len(places))
	}
	if len(p.held) != users || most-least > 1 || p.InUse() != 1024 {
		t.Errorf("%d users have between %d and %d, all of them %d", len(p.held), least, most, p.InUse())
	}
	proctest.Eventually(t, "all are told who have lost a place", func() bool { return int(lost.Load()) == taken-1024 })
}

// TestWhoWaitsGetsATurn: 60 of one user wait, one of another: it is next but those
// that are being served.
func TestWhoWaitsGetsATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(Bounds{User: 2, Users: 4})
		first, err := p.Wait(context.Background(), user(0))
		if err != nil {
			t.Fatal(err)
		}
		second, _ := p.Wait(context.Background(), user(0))
		var order []int
		var mu sync.Mutex
		var all sync.WaitGroup
		wait := func(n int) {
			all.Go(func() {
				release, err := p.Wait(context.Background(), user(n))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, n)
				mu.Unlock()
				release()
			})
		}
		third, _ := p.Wait(context.Background(), user(2))
		fourth, _ := p.Wait(context.Background(), user(3))
		for range 60 {
			wait(0)
		}
		synctest.Wait()
		wait(1)
		synctest.Wait()
		first()
		all.Wait()
		if order[0] != 0 || order[1] != 1 {
			t.Errorf("the order is %v…, want 0, 1", order[:3])
		}
		second()
		third()
		fourth()
		if p.InUse() != 0 || len(p.waiting) != 0 || len(p.turns) != 0 || len(p.held) != 0 {
			t.Errorf("left over: %+v", p)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	p := NewPool(Bounds{User: 1, Users: 1})
	release, _ := p.Take(user(0))
	cause := errors.New("no more time")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if _, err := p.Wait(ctx, user(1)); !errors.Is(err, cause) {
		t.Errorf("Wait = %v", err)
	}
	release()
	if len(p.waiting) != 0 || len(p.turns) != 0 || p.InUse() != 0 {
		t.Errorf("left over: %+v", p)
	}
}

func TestPoolKeepsNothingOfThoseWhoLeft(t *testing.T) {
	p := NewPool(Bounds{User: 3, Users: 10, Spare: 2, Few: 1})
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			release, err := p.Wait(context.Background(), user(i%7))
			if err != nil {
				t.Error(err)
				return
			}
			release()
		})
	}
	all.Wait()
	if len(p.held) != 0 || p.users != 0 || len(p.waiting) != 0 || len(p.turns) != 0 {
		t.Errorf("left over: %+v", p)
	}
}
