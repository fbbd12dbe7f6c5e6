package peer

import (
	"sync"
	"testing"
)

func TestEachUserHasABoundOfItsOwn(t *testing.T) {
	l := NewLimiter(2, 100)
	release, ok := l.Acquire(1000)
	if !ok {
		t.Fatal("first refused")
	}
	if _, ok := l.Acquire(1000); !ok {
		t.Fatal("second refused")
	}
	if _, ok := l.Acquire(1000); ok {
		t.Fatal("third let in")
	}
	if _, ok := l.Acquire(1001); !ok {
		t.Fatal("another user refused")
	}
	release()
	release() // counts once
	if _, ok := l.Acquire(1000); !ok {
		t.Fatal("refused after one left")
	}
	if _, ok := l.Acquire(1000); ok {
		t.Fatal("one that left counted twice")
	}
}

func TestManyUsersDoNotKeepRootOut(t *testing.T) {
	l := NewLimiter(2, 3)
	for uid := uint32(1000); uid < 1003; uid++ {
		if _, ok := l.Acquire(uid); !ok {
			t.Fatalf("uid %d refused", uid)
		}
	}
	if _, ok := l.Acquire(5000); ok {
		t.Error("more users than the total let in")
	}
	for range 2 {
		if _, ok := l.Acquire(0); !ok {
			t.Error("root refused")
		}
	}
	if _, ok := l.Acquire(0); ok {
		t.Error("root has no bound")
	}
}

func TestLimiterKeepsNothingOfThoseWhoLeft(t *testing.T) {
	l := NewLimiter(1000, 1000)
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			release, ok := l.Acquire(uint32(i % 7))
			if !ok {
				t.Error("refused")
			}
			release()
		})
	}
	all.Wait()
	if len(l.open) != 0 || l.users != 0 {
		t.Errorf("left over: %v, %d", l.open, l.users)
	}
}
