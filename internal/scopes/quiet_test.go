package scopes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/godbus/dbus/v5"
)

// encoded is a message as systemd sends it.
func encoded(t *testing.T, order binary.ByteOrder, kind dbus.Type, member string, body ...any) []byte {
	t.Helper()
	headers := map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/systemd1")), dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.systemd1.Manager"),
		dbus.FieldMember: dbus.MakeVariant(member),
	}
	if kind == dbus.TypeMethodReply {
		headers = map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(uint32(7))}
	}
	if len(body) > 0 {
		headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	var b bytes.Buffer
	if err := (&dbus.Message{Type: kind, Headers: headers, Body: body}).EncodeTo(&b, order); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestOfSystemdsSignalsTheEndsOfJobsAlone arrive, and each answer, whole.
func TestOfSystemdsSignalsTheEndsOfJobsAlone(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		chatter := encoded(t, order, dbus.TypeSignal, "PropertiesChanged", map[string]dbus.Variant{"Description": dbus.MakeVariant("not a JobRemoved")})
		answer := encoded(t, order, dbus.TypeMethodReply, "", string(bytes.Repeat([]byte("x"), 9001)))
		job := encoded(t, order, dbus.TypeSignal, "JobRemoved", uint32(1), dbus.ObjectPath("/job/1"), "a.scope", "done")
		here, there := net.Pipe()
		go func() {
			_, _ = io.WriteString(there, "OK 00\r\n")
			_, _ = there.Read(make([]byte, 64))
			for _, sent := range [][]byte{chatter, encoded(t, order, dbus.TypeSignal, "Reloading"), answer, chatter, job, chatter} {
				_, _ = there.Write(sent)
			}
			there.Close()
		}()
		q := newQuiet(here)
		said := make([]byte, 64)
		if n, err := q.Read(said); err != nil || string(said[:n]) != "OK 00\r\n" {
			t.Errorf("before messages: %q, %v", said[:n], err)
		}
		if _, err := io.WriteString(q, "BEGIN\r\n"); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(q)
		if want := append(bytes.Clone(answer), job...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
		}
	}
}

// TestWhatIsNoMessageEndsTheConnection, and reserves no memory for what it claims to be.
func TestWhatIsNoMessageEndsTheConnection(t *testing.T) {
	for what, sent := range map[string][]byte{
		"a byte order that there is not": append([]byte("x\x04\x00\x01"), make([]byte, 12)...),
		"4 GiB of header":                {'l', 4, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255},
		"4 GiB of content":               {'l', 2, 0, 1, 255, 255, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0},
	} {
		here, there := net.Pipe()
		go func() { _, _ = there.Write(sent); there.Close() }()
		q := newQuiet(here)
		q.begun = true
		if _, err := q.Read(make([]byte, 64)); !errors.Is(err, errDBus) {
			t.Errorf("%s: %v", what, err)
		}
		here.Close()
	}
}
