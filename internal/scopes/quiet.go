package scopes

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// quiet is a connection to systemd on which of its signals only the ends of jobs arrive. On its
// private socket systemd tells everyone of each change of each unit, with hundreds of
// properties: to decode them took a tenth of what a build costs.
//
// Source: systemd, src/core/dbus.c, bus_foreach_bus; go-systemd v22.7.0, dbus/subscription.go,
// dispatch.
type quiet struct {
	net.Conn
	in    *bufio.Reader
	begun bool   // authentication is over, and messages follow
	left  []byte // of a message that is being read
}

func newQuiet(conn net.Conn) *quiet { return &quiet{Conn: conn, in: bufio.NewReader(conn)} }

// begin ends the authentication. godbus writes it in one piece, and reads afterwards.
//
// Source: D-Bus specification, "Authentication Protocol"; godbus v5.2.4, auth.go.
var begin = []byte("BEGIN\r\n")

func (q *quiet) Write(b []byte) (int, error) {
	n, err := q.Conn.Write(b)
	if bytes.Equal(b, begin) {
		q.begun = true
	}
	return n, err
}

func (q *quiet) Read(b []byte) (int, error) {
	if !q.begun {
		return q.in.Read(b)
	}
	for len(q.left) == 0 {
		var err error
		if q.left, err = q.message(); err != nil {
			return 0, err
		}
	}
	n := copy(b, q.left)
	q.left = q.left[n:]
	return n, nil
}

// What precedes a message's header fields, the type of signals, and a message's greatest length.
//
// Source: D-Bus specification, "Message Format".
const (
	fixedHeader = 16
	typeSignal  = 4
	maxDBus     = 128 << 20
)

var errDBus = errors.New("not a message of D-Bus")

// message reads one, and returns nothing of one that is passed over.
func (q *quiet) message() ([]byte, error) {
	fixed, err := q.in.Peek(fixedHeader)
	if err != nil {
		return nil, err
	}
	var order binary.ByteOrder
	switch fixed[0] {
	case 'l':
		order = binary.LittleEndian
	case 'B':
		order = binary.BigEndian
	default:
		return nil, fmt.Errorf("%w: byte order %q", errDBus, fixed[0])
	}
	body, fields := int64(order.Uint32(fixed[4:])), int64(order.Uint32(fixed[12:]))
	head := fixedHeader + (fields+7)/8*8
	if head+body > maxDBus {
		return nil, fmt.Errorf("%w: %d bytes", errDBus, head+body)
	}
	signal := fixed[1] == typeSignal
	message := make([]byte, head, head+body)
	if _, err := io.ReadFull(q.in, message); err != nil {
		return nil, err
	}
	if signal && !bytes.Contains(message, []byte("JobRemoved")) {
		_, err := io.CopyN(io.Discard, q.in, body)
		return nil, err
	}
	message = message[:head+body]
	_, err = io.ReadFull(q.in, message[head:])
	return message, err
}
