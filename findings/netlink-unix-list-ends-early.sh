#!/bin/bash
# github.com/vishvananda/netlink v1.3.1
#
# UnixSocketDiagInfo returns the unix sockets of the network namespace up to the first one that is
# not a stream socket, and no error: the rest is missing. UnixSocketDiag returns the stream sockets
# only. The fields Type and Family of struct unix_diag_msg are read in the wrong order, which goes
# unnoticed as long as AF_UNIX and SOCK_STREAM are both 1; a datagram socket (2) is taken for one
# of family AF_INET and filtered out, a SOCK_SEQPACKET one (5) for AppleTalk.
#
# One would have guessed that a list without an error is whole, and that two functions of
# which one adds details to what the other returns list the same sockets. On any host with
# a syslog socket or a D-Bus daemon the short list still looks like a plausible one.
#
# Seen, in a namespace with 6 listeners and 1 datagram socket: mostly 0, at times 6 from
# UnixSocketDiagInfo (the kernel lists in the order of a hash), 6 from UnixSocketDiag; both with a nil error.
. "$(dirname "$0")/lib.bash"
gomod github.com/vishvananda/netlink@v1.3.1 golang.org/x/sys@v0.49.0
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// try lists 6 listeners and one datagram socket in a network namespace of its own,
// whose sockets the kernel keeps in another order each time.
func try(round int) (info, plain int) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	check(unix.Unshare(unix.CLONE_NEWNET))
	for i := range 6 {
		l, err := net.Listen("unix", "@findings-"+strconv.Itoa(i))
		check(err)
		defer l.Close()
	}
	d, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: fmt.Sprint("@findings-d", round), Net: "unixgram"})
	check(err)
	defer d.Close()
	long, err := netlink.UnixSocketDiagInfo()
	check(err)
	short, err := netlink.UnixSocketDiag()
	check(err)
	for _, s := range short {
		if s.Type != unix.AF_UNIX || s.Family != unix.SOCK_STREAM {
			check(fmt.Errorf("%+v", s))
		}
	}
	return len(long), len(short)
}

func main() {
	fewest, most := 7, 0
	for round := range 12 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			info, plain := try(round)
			fmt.Fprintf(os.Stderr, "of 7 sockets: UnixSocketDiagInfo %d, UnixSocketDiag %d\n", info, plain)
			fewest, most = min(fewest, info), max(most, plain)
		}()
		<-done
	}
	fmt.Println(fewest < 6, most)
}
GO
seen=$(gorun)
claim "a list without an error is cut short; how many UnixSocketDiag lists of 7" "true 6" "$seen"
