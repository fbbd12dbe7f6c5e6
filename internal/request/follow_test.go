package request

import (
	"testing"
	"time"
)

// TestWhatIsConcluded goes through looks, each with what is gone of the directories and
// connections, and what is concluded from the last one.
func TestWhatIsConcluded(t *testing.T) {
	type looks []struct {
		after time.Duration
		dirs  string // "d" there, "-" gone
		conns string // "o" open, "l" leaving, "h" hung up, "-" closed; "?" can't be seen
	}
	const ms = time.Millisecond
	for _, row := range []struct {
		name    string
		partial bool
		looks   looks
		want    Standing
	}{
		{"all is there", false, looks{{ms, "d", "oo"}}, Live},
		{"another client is gone", false, looks{{ms, "d", "o-"}}, Live},
		{"cancelled", false, looks{{ms, "d", "oo"}, {500 * ms, "-", "o-"}}, Over},
		{"cancelled at once", false, looks{{ms, "-", "o-"}}, Over},
		{"cancelled, and the service is about to close", false, looks{{ms, "d", "oo"}, {500 * ms, "-", "oh"}}, Left},
		{"and has closed", false, looks{{ms, "d", "oo"}, {500 * ms, "-", "oh"}, {5 * ms, "-", "o-"}}, Over},
		{"a large context is removed for long", false, looks{{ms, "d", "oo"}, {500 * ms, "d", "oh"}, {1500 * ms, "d", "oh"}, {1500 * ms, "-", "o-"}}, Over},
		{"the same by TCP", false, looks{{ms, "d", "ol"}, {1500 * ms, "d", "ol"}, {1500 * ms, "-", "ol"}, {5 * ms, "-", "o-"}}, Over},
		{"a cleaner", false, looks{{ms, "-", "oo"}}, Left},
		{"a cleaner, then a client goes", false, looks{{ms, "-", "oo"}, {5 * ms, "-", "oh"}, {5 * ms, "-", "o-"}}, Left},
		{"a client goes, then a cleaner", false, looks{{ms, "d", "oh"}, {5 * ms, "d", "o-"}, {5 * ms, "-", "o-"}}, Left},
		{"another's handler hangs, then a cleaner", false, looks{{ms, "d", "oh"}, {5 * ms, "-", "oh"}, {2 * near, "-", "o-"}}, Left},
		{"a cleaner, then all go", false, looks{{ms, "-", "oo"}, {time.Hour, "-", "--"}}, Over},
		{"nobody has looked for long", false, looks{{ms, "d", "oo"}, {2 * apart, "-", "o-"}}, Left},
		{"the handler hangs, all clients are gone", false, looks{{ms, "d", "hh"}}, Over},
		{"half of each client is gone", false, looks{{ms, "d", "ll"}}, Live},
		{"all known clients are gone, there may have been more", true, looks{{ms, "d", "hh"}}, Live},
		{"the same, and its directory", true, looks{{ms, "-", "--"}}, Left},
		{"it can't be seen", false, looks{{ms, "d", "oo"}, {500 * ms, "d", "?"}}, Live},
		{"it can't be seen when the directory goes", false, looks{{ms, "d", "oo"}, {500 * ms, "-", "?"}}, Left},
		{"and can again", false, looks{{ms, "d", "oo"}, {500 * ms, "-", "?"}, {500 * ms, "-", "o-"}}, Over},
		{"and can again, late", false, looks{{ms, "d", "oo"}, {500 * ms, "-", "?"}, {2 * apart, "-", "o-"}}, Left},
		{"one of two requests is over", false, looks{{ms, "-d", "o-"}}, Doubtful},
		{"then the other", false, looks{{ms, "-d", "o-"}, {time.Second, "--", "--"}}, Over},
		{"both, one by a cleaner", false, looks{{ms, "-d", "ooo"}, {time.Second, "--", "oo-"}}, Left},
		{"both at once", false, looks{{ms, "--", "o--"}}, Over},
		{"a cleaner removes both, one client goes", false, looks{{ms, "--", "oo-"}}, Left},
		{"no directory is known", false, looks{{ms, "", "oo"}}, Doubtful},
		{"no directory is known, a client is gone", false, looks{{ms, "", "o-"}}, Doubtful},
		{"no directory is known, all clients are gone", false, looks{{ms, "", "--"}}, Over},
		{"nothing is known", false, looks{{ms, "", ""}}, Doubtful},
	} {
		t.Run(row.name, func(t *testing.T) {
			now := time.Now()
			r := Request{Partial: row.partial, seen: now}
			r.Dirs = make([]Dir, len(row.looks[0].dirs))
			for range row.looks[0].conns {
				r.Conns = append(r.Conns, Conn{FD: 1, Cookie: 1})
			}
			f := follow(r)
			var got Sight
			for _, l := range row.looks {
				now = now.Add(l.after)
				m := moment{at: now, gone: []bool{}}
				for _, d := range l.dirs {
					m.gone = append(m.gone, d == '-')
				}
				if l.conns != "?" {
					m.conns = []end{}
				}
				for _, c := range l.conns {
					if c != '?' {
						m.conns = append(m.conns, map[rune]end{'o': open, 'l': leaving, 'h': hungUp, '-': closed}[c])
					}
				}
				got = f.see(m)
			}
			if got.Standing != row.want {
				t.Errorf("it stands at %d, want %d: %+v", got.Standing, row.want, got)
			}
		})
	}
}

// TestFoundAgainItIsConcludedFromLooksOfThisDaemonAlone: nobody has seen what happened
// while there was none.
func TestFoundAgainItIsConcludedFromLooksOfThisDaemonAlone(t *testing.T) {
	r := Request{Dirs: make([]Dir, 1), Conns: []Conn{{Cookie: 1}, {Cookie: 2}}}
	f := follow(r)
	if got := f.see(moment{at: time.Now(), gone: []bool{true}, conns: []end{open, closed}}); got.Standing != Left {
		t.Errorf("%+v", got)
	}
	f = follow(r)
	f.see(moment{at: time.Now(), gone: []bool{false}, conns: []end{open, open}})
	if got := f.see(moment{at: time.Now(), gone: []bool{true}, conns: []end{open, closed}}); got.Standing != Over {
		t.Errorf("%+v", got)
	}
}

// TestWithoutASightOfPeersItIsTheServiceThatTells: the connection that it closes right
// after the directory was removed.
func TestWithoutASightOfPeersItIsTheServiceThatTells(t *testing.T) {
	for _, row := range []struct {
		name         string
		before, then []end
		after        time.Duration
		want         Standing
	}{
		{"cancelled", []end{open, open}, []end{open, closed}, 0, Over},
		{"closed right after", []end{open, open}, []end{open, closed}, 5 * time.Millisecond, Over},
		{"closed later", []end{open, open}, []end{open, closed}, 2 * nearBlind, Left},
		{"closed before", []end{open, closed}, []end{open, closed}, 0, Left},
		{"a cleaner", []end{open, open}, []end{open, open}, 0, Left},
	} {
		t.Run(row.name, func(t *testing.T) {
			now := time.Now()
			f := follow(Request{Dirs: make([]Dir, 1), Conns: []Conn{{FD: 3, Inode: 1}, {FD: 4, Inode: 2}}, seen: now})
			f.see(moment{at: now, gone: []bool{false}, conns: row.before})
			if row.after > 0 {
				f.see(moment{at: now.Add(time.Millisecond), gone: []bool{true}, conns: row.before})
			}
			if got := f.see(moment{at: now.Add(time.Millisecond + row.after), gone: []bool{true}, conns: row.then}); got.Standing != row.want {
				t.Errorf("%+v", got)
			}
		})
	}
}
