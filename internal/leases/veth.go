package leases

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// addInterface makes a veth, of which one end has that name, in the network namespace of the thread. The
// other end is there as well.
//
// Source: rtnetlink(7), netlink(7); linux, drivers/net/veth.c, veth_newlink.
func addInterface(name string) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, newLink(name), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	const errno = unix.SizeofNlMsghdr // where the answer has it
	if n < errno+4 {
		return fmt.Errorf("interface %s: an answer of %d bytes", name, n)
	}
	if failed := int32(binary.NativeEndian.Uint32(answer[errno:])); failed != 0 {
		return fmt.Errorf("interface %s: %w", name, unix.Errno(-failed))
	}
	return nil
}

// newLink is the message that asks for it.
func newLink(name string) []byte {
	content := make([]byte, unix.SizeofIfInfomsg)
	content = append(content, attribute(unix.IFLA_IFNAME, append([]byte(name), 0))...)
	content = append(content, attribute(unix.IFLA_LINKINFO|unix.NLA_F_NESTED, attribute(unix.IFLA_INFO_KIND, []byte("veth\x00")))...)
	header := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(content)))
	header = binary.NativeEndian.AppendUint16(header, unix.RTM_NEWLINK)
	header = binary.NativeEndian.AppendUint16(header, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	header = append(header, make([]byte, 8)...) // sequence and port
	return append(header, content...)
}

// attribute is one of a message, with what fills it up to the next one.
func attribute(kind uint16, value []byte) []byte {
	all := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	all = append(binary.NativeEndian.AppendUint16(all, kind), value...)
	for len(all)%unix.NLA_ALIGNTO != 0 {
		all = append(all, 0)
	}
	return all
}
