package scopes

import (
	"os"
	"slices"
	"testing"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"golang.org/x/sys/unix"
)

// TestWhatAHelperHasIsItsUsers: a user's has a runtime directory after the logout, too; root's alone
// may change the host's network.
func TestWhatAHelperHasIsItsUsers(t *testing.T) {
	for _, uid := range []uint32{0, 1000} {
		list := helperProperties(Helper{UID: uid, In: os.Stdin, Out: os.Stdout}, "user.slice")
		value := func(name string) any {
			i := slices.IndexFunc(list, func(p systemd.Property) bool { return p.Name == name })
			if i < 0 {
				return nil
			}
			return list[i].Value.Value()
		}
		capabilities, _ := value("CapabilityBoundingSet").(uint64)
		if got := capabilities&(1<<unix.CAP_NET_ADMIN) != 0; got != (uid == 0) {
			t.Errorf("UID %d: CAP_NET_ADMIN: %v", uid, got)
		}
		for _, name := range []string{"Wants", "After"} {
			units, _ := value(name).([]string)
			if got := slices.Equal(units, []string{"user-runtime-dir@1000.service"}); got != (uid == 1000) {
				t.Errorf("UID %d: %s=%q", uid, name, units)
			}
		}
	}
}
