package placement

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/wire"
)

// receive reads one message. It takes no descriptors: the kernel drops what a
// caller sends along. Even to close one could hang, behind a FUSE server.
func receive(conn *net.UnixConn) (wire.Message, error) {
	packet := make([]byte, wire.MaxMessage+1)
	n, err := conn.Read(packet)
	if errors.Is(err, unix.ECONNRESET) {
		return wire.Message{}, io.EOF // closed too, with our answer unread
	}
	if err != nil {
		return wire.Message{}, err
	}
	if n == 0 {
		return wire.Message{}, io.EOF
	}
	return wire.Decode(packet[:n])
}

func send(conn *net.UnixConn, m wire.Message) error {
	_, err := conn.Write(wire.Encode(m))
	return err
}

// claim is the byte that decides who acts on a request, see package wire.
type claim struct {
	own    int // our own open file description: the caller can't make its reads block
	given  int // the caller's
	acting int // the writing end: the caller sees by it that nothing is done any more
}

func newClaim() (*claim, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make a claim: %w", err)
	}
	_, err := unix.Write(pipe[1], []byte{1})
	own := -1
	if err == nil {
		own, err = unix.Open("/proc/self/fd/"+strconv.Itoa(pipe[0]), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		unix.Close(pipe[0])
		unix.Close(pipe[1])
		return nil, fmt.Errorf("make a claim: %w", err)
	}
	return &claim{own: own, given: pipe[0], acting: pipe[1]}, nil
}

// sendWith sends a message and the caller's end of the claim.
func (c *claim) sendWith(conn *net.UnixConn, m wire.Message) error {
	_, _, err := conn.WriteMsgUnix(wire.Encode(m), unix.UnixRights(c.given), nil)
	return err
}

// take takes the byte, and returns false when the caller has taken it back.
func (c *claim) take() bool {
	var b [1]byte
	n, err := unix.Read(c.own, b[:])
	return err == nil && n == 1
}

// close is for when nothing will be done any more by the claim.
func (c *claim) close() {
	unix.Close(c.own)
	unix.Close(c.given)
	unix.Close(c.acting)
}
