package request

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Conn is one accepted connection: a unix socket of the service's.
type Conn struct {
	Inode  uint32 `json:"inode"`
	Cookie uint64 `json:"cookie"` // the kernel's, never used again
}

// socket is what sock_diag(7) says of a unix socket.
type socket struct {
	Conn
	state uint8
	name  string
	peer  uint32 // inode of the other end; 0 when that is closed
}

// States of a unix socket.
//
// Source: linux, include/net/tcp_states.h; sock_diag(7).
const (
	established = 1
	listening   = 10
)

// What sock_diag(7) is asked for, and answers.
//
// Source: linux, include/uapi/linux/unix_diag.h and sock_diag.h.
const (
	sockDiagByFamily = 20
	showName         = 1 << 0
	showPeer         = 1 << 2
	attrName         = 0
	attrPeer         = 2
	sizeofMessage    = 16
	anyCookie        = ^uint64(0)
)

// diag asks the kernel for unix sockets: for the one, or for all where inode is 0.
func diag(one Conn) ([]socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	defer conn.Close()
	flags := netlink.Request
	cookie := one.Cookie
	if one.Inode == 0 {
		flags |= netlink.Dump
		cookie = anyCookie
	}
	request := make([]byte, 0, 24)
	request = append(request, unix.AF_UNIX, 0, 0, 0)
	request = binary.NativeEndian.AppendUint32(request, ^uint32(0)) // all states
	request = binary.NativeEndian.AppendUint32(request, one.Inode)
	request = binary.NativeEndian.AppendUint32(request, showName|showPeer)
	request = binary.NativeEndian.AppendUint32(request, uint32(cookie))
	request = binary.NativeEndian.AppendUint32(request, uint32(cookie>>32))
	messages, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDiagByFamily, Flags: flags},
		Data:   request,
	})
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	sockets := make([]socket, 0, len(messages))
	for _, m := range messages {
		s, err := decodeSocket(m.Data)
		if err != nil {
			return nil, err
		}
		sockets = append(sockets, s)
	}
	return sockets, nil
}

// decodeSocket reads a struct unix_diag_msg and the attributes behind it.
func decodeSocket(data []byte) (socket, error) {
	if len(data) < sizeofMessage {
		return socket{}, fmt.Errorf("sock_diag: an answer of %d bytes", len(data))
	}
	s := socket{state: data[2]}
	s.Inode = binary.NativeEndian.Uint32(data[4:])
	s.Cookie = uint64(binary.NativeEndian.Uint32(data[8:])) | uint64(binary.NativeEndian.Uint32(data[12:]))<<32
	attrs, err := netlink.NewAttributeDecoder(data[sizeofMessage:])
	if err != nil {
		return socket{}, fmt.Errorf("sock_diag: %w", err)
	}
	for attrs.Next() {
		switch attrs.Type() {
		case attrName:
			s.name = string(attrs.Bytes())
		case attrPeer:
			s.peer = attrs.Uint32()
		}
	}
	if err := attrs.Err(); err != nil {
		return socket{}, fmt.Errorf("sock_diag: %w", err)
	}
	return s, nil
}

// gone tells whether the connection was closed, at either end. In doubt it was not.
func (c Conn) gone() bool {
	found, err := diag(c)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) { // no such inode; another's
		return true
	}
	return err == nil && len(found) == 1 && (found[0].state != established || found[0].peer == 0)
}

// maxDescriptors is how many of a service's descriptors are looked at.
const maxDescriptors = 4096

// accepted lists the connections that the process has accepted on the unix sockets
// that it listens on, and whose other end is open: they bear the listening socket's
// name.
func accepted(service *proc.Handle) ([]Conn, error) {
	own, err := socketsOf(service)
	if err != nil {
		return nil, err
	}
	all, err := diag(Conn{})
	if err != nil {
		return nil, err
	}
	served := map[string]bool{}
	for _, s := range all {
		if own[s.Inode] && s.state == listening && s.name != "" {
			served[s.name] = true
		}
	}
	var conns []Conn
	for _, s := range all {
		if own[s.Inode] && s.state == established && s.peer != 0 && served[s.name] {
			conns = append(conns, s.Conn)
		}
	}
	return conns, nil
}

// socketsOf returns the inodes of the process's sockets.
func socketsOf(h *proc.Handle) (map[uint32]bool, error) {
	path := "/proc/" + strconv.Itoa(h.PID) + "/fd"
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxDescriptors)
	if err != nil {
		return nil, err
	}
	own := map[uint32]bool{}
	for _, name := range names {
		target, err := os.Readlink(path + "/" + name) // looks at no file
		if err != nil {
			continue
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			if n, err := strconv.ParseUint(strings.TrimSuffix(inode, "]"), 10, 32); err == nil {
				own[uint32(n)] = true
			}
		}
	}
	if !h.Alive() {
		return nil, proc.ErrGone
	}
	return own, nil
}
