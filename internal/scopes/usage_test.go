package scopes

import "testing"

func TestIOIsThatOfAllDevices(t *testing.T) {
	for stat, want := range map[string][2]uint64{
		"": {},
		"8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n8:0 rbytes=2 wbytes=3 rios=1 wios=1 dbytes=0 dios=0\n": {1459202, 314773507},
		"8:16 \n254:0 rbytes=x wbytes\n": {},
	} {
		if read, written := sumIO(stat); read != want[0] || written != want[1] {
			t.Errorf("%q: read %d, written %d", stat, read, written)
		}
	}
}
