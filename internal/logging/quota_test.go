package logging

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"
)

// TestUserWithBuildsWithoutEndLeavesRoomInTheJournal: by whatever UIDs.
func TestUserWithBuildsWithoutEndLeavesRoomInTheJournal(t *testing.T) {
	synctest.Test(t, userWithBuildsWithoutEnd)
}

func userWithBuildsWithoutEnd(t *testing.T) {
	const noisy, lent, other = uint32(1000), uint32(100000), uint32(1001)
	records := sent(t, func(l *Log) {
		l.CountBy(func(uid uint32) uint32 {
			if uid >= lent {
				return noisy
			}
			return uid
		})
		for n := range uint32(3 * quotaBurst) {
			l.WithField(FieldUID, lent+n).Info("noise")
			if n%100 == 0 {
				synctest.Wait() // the sender's queue is another bound
			}
		}
		time.Sleep(time.Second / quotaPerSecond * 2)
		l.WithField(FieldUID, noisy).Info("noise again")
		for range 5 {
			l.WithField(FieldUID, other).Warn("of another")
			l.WithField(FieldUID, uint32(0)).Warn("of root")
			l.WithFields(logrus.Fields{}).Warn("of the daemon")
		}
	})
	count := map[string]int{}
	for _, r := range records {
		switch {
		case strings.HasPrefix(r.message, "Left out"):
			count["left out"]++
		default:
			count[r.message]++
		}
	}
	if n := count["noise"]; n != quotaBurst {
		t.Errorf("%d entries of one user, want %d", n, quotaBurst)
	}
	if count["left out"] != 1 || count["noise again"] != 1 {
		t.Errorf("%d say what was left out, %d of what comes then", count["left out"], count["noise again"])
	}
	for _, message := range []string{"of another", "of root", "of the daemon"} {
		if count[message] != 5 {
			t.Errorf("%d of 5 entries %s", count[message], message)
		}
	}
}

func TestQuotaIsBoundedItself(t *testing.T) {
	q, now := newQuota(), time.Now()
	for uid := range uint32(10 * quotaUsers) {
		q.allow(uid, now)
	}
	if len(q.users) > quotaUsers+1 {
		t.Errorf("%d users are remembered", len(q.users))
	}
	later := now.Add(time.Hour)
	if _, ok := q.allow(1<<20, later); !ok || len(q.users) > 3 {
		t.Errorf("an hour later %d users are remembered, and one more is let through: %v", len(q.users), ok)
	}
}
