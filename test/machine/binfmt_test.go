package machine

import "testing"

func TestRenameHandler(t *testing.T) {
	const conf = "# qemu\n:qemu-aarch64:M::\\x7fELF:\\xff:/usr/bin/qemu-aarch64:OPF\n"
	got, err := renameHandler(conf, "qemu-aarch64", "mine")
	if want := ":mine:M::\\x7fELF:\\xff:/usr/bin/qemu-aarch64:OPF"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := renameHandler(conf, "qemu-s390x", "mine"); err == nil {
		t.Error("a handler that is not there was found")
	}
}
