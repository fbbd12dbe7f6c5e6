package matrix

import (
	"strings"
	"testing"
	"time"
)

const output = `=== RUN   TestMatrix
matrix: {"Versions":"Debian 13, podman 5"}
    noise
matrix: {"Cell":{"Who":"root","How":"podman build","Runtime":"crun","Manager":"systemd","Platform":"arm64","Shape":"one step","Cancel":"SIGINT"},"GoneAfter":8455608}
matrix: {"Cell":{"Who":"root","How":"podman build","Runtime":"runc","Manager":"systemd","Platform":"arm64","Shape":"one step","Cancel":"SIGINT"},"GoneAfter":18455608}
matrix: {"Cell":{"Who":"root","How":"POST /build","Runtime":"crun","Manager":"systemd","Platform":"arm64","Shape":"one step","Cancel":"disconnect"},"Failed":true,"GoneAfter":5000000000}
--- FAIL: TestMatrix
`

func TestPageShowsWhatFailed(t *testing.T) {
	run, err := ReadRun(strings.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	Markdown(&page, []Run{run}, "make matrix", time.Unix(0, 0))
	for _, want := range []string{
		"\n## Debian 13\n\nDebian 13, podman 5\n\n3 cells, 1 failed.\n",
		"\n| root, `podman build` | 2/2, 18 ms | - | - | - | - | - |\n",
		"\n| root, `POST /build` | - | - | - | - | - | 0/1 |\n",
		"\n| crun | 1/2, 8 ms |\n",
		"\nFailed:\n\n- root, POST /build, crun, systemd, arm64, one step, disconnect\n",
		"Written on 1970-01-01 by\n\n    make matrix\n",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
}

func TestBrokenResultIsAnError(t *testing.T) {
	if _, err := ReadRun(strings.NewReader("matrix: {\"Cell\":\n")); err == nil {
		t.Error("half a result was read")
	}
}
