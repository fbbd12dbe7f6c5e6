package machine

import (
	"net/netip"
	"testing"
)

func TestEverySlotHasANetworkOfItsOwn(t *testing.T) {
	var seen []netip.Prefix
	for n := range slots {
		host, guest := (&slot{n: n}).addrs()
		if host.Masked() != guest.Masked() || host.Addr() == guest.Addr() {
			t.Errorf("slot %d: %s and %s are not two ends of one network", n, host, guest)
		}
		for _, other := range seen {
			if other.Overlaps(host) {
				t.Errorf("slot %d: %s overlaps %s", n, host, other)
			}
		}
		seen = append(seen, host)
	}
	if host, _ := (&slot{n: 2}).addrs(); host.String() != "198.18.0.9/30" {
		t.Errorf("slot 2 has %s", host)
	}
}

func TestLinkNameFits(t *testing.T) {
	const limit = 15 // IFNAMSIZ without the terminating zero
	if name := (&slot{n: slots - 1}).veth(); len(name) > limit {
		t.Errorf("%q is longer than %d", name, limit)
	}
}
