// Package wire is the protocol between the OCI runtime wrapper and the daemon:
// the messages, their encoding and their limits. It does no I/O and knows
// neither side, so that each can be tested against the bytes alone.
//
// The conversation, over one SOCK_SEQPACKET connection, one message a packet:
//
//	wrapper                               daemon
//	  Prepare: the container's ID     →
//	                                  ←   Prepared: the container's cgroup, and the claim
//	  (rewrites the bundle)
//	  Enter                           →
//	                                  ←   Entered: the caller is in the scope
//	  (execs the runtime)
//
// Refused may come instead of either answer: the wrapper then puts the bundle
// back as it was and execs the runtime as if buildwatch were not installed.
// Ended may too: the build was stopped, and its next container must not start.
// Outside instead of Prepare tells of a container that the wrapper can't have placed;
// it has no answer.
//
// The claim is one byte in a pipe whose reading end both sides hold. Whoever
// reads it acts: the daemon takes it immediately before it moves the caller, a
// wrapper that has waited too long takes it back. So a request that the wrapper
// gave up is never served when the runtime has already begun to place the
// container by itself. A wrapper that comes too late waits: as long as the daemon may
// still act, and lives, it keeps the pipe's other end open.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Socket is where the daemon listens for the wrapper.
const Socket = "/run/buildwatch/runtime.sock"

const (
	// Patience is how long the wrapper waits in all, from its start, before it
	// execs the runtime without the daemon's help.
	Patience = time.Second
	// MaxMessage is the size of the largest message, in bytes.
	MaxMessage = 4096
	// MaxContainerID is the length of the longest container ID, in bytes.
	MaxContainerID = 128
	// Leaf is the cgroup, beside the container's, in which the caller finds
	// itself after Entered: a cgroup that holds processes can't delegate
	// controllers, so the caller must not sit in the containers' parent.
	Leaf = "leaf"
	// version is raised when an older peer would misread a message.
	version = 1
)

// Type names a message.
type Type string

// The messages, in the order in which they are sent.
const (
	Outside  Type = "outside"
	Prepare  Type = "prepare"
	Prepared Type = "prepared"
	Enter    Type = "enter"
	Entered  Type = "entered"
	Refused  Type = "refused"
	Ended    Type = "ended"
)

// Message is one packet in either direction.
type Message struct {
	Version int  `json:"v"`
	Type    Type `json:"type"`
	// Container is the OCI container's ID (Prepare, Outside).
	Container string `json:"container,omitempty"`
	// CgroupsPath is what linux.cgroupsPath of the bundle is to be (Prepared).
	CgroupsPath string `json:"cgroups_path,omitempty"`
	// Reason is for people (Refused, Ended).
	Reason string `json:"reason,omitempty"`
}

// Encode returns the packet for m.
func Encode(m Message) []byte {
	m.Version = version
	packet, err := json.Marshal(m)
	if err != nil {
		panic(err) // a struct of strings and integers always marshals
	}
	return packet
}

// Decode reads one packet. It fails on anything but a whole, known, valid
// message of this version.
func Decode(packet []byte) (Message, error) {
	var m Message
	if len(packet) > MaxMessage {
		return m, fmt.Errorf("message of %d bytes: more than %d", len(packet), MaxMessage)
	}
	if err := json.Unmarshal(packet, &m); err != nil {
		return Message{}, fmt.Errorf("message is not JSON: %w", err)
	}
	if m.Version != version {
		return Message{}, fmt.Errorf("message of version %d, this is version %d", m.Version, version)
	}
	switch m.Type {
	case Prepare, Outside:
		if err := CheckContainerID(m.Container); err != nil {
			return Message{}, err
		}
	case Prepared:
		if m.CgroupsPath == "" || m.CgroupsPath[0] != '/' {
			return Message{}, errors.New("prepared: no absolute cgroup")
		}
	case Enter, Entered, Refused, Ended:
	default:
		return Message{}, fmt.Errorf("unknown message %q", m.Type)
	}
	return m, nil
}

// CheckContainerID says whether id can stand as it is in a cgroup's name: the
// characters that OCI runtimes allow in a container's ID, no leading dot.
//
// Source: opencontainers/runc, libcontainer/factory_linux.go, validateID.
func CheckContainerID(id string) error {
	if id == "" || len(id) > MaxContainerID {
		return fmt.Errorf("container ID of %d bytes: must have 1 to %d", len(id), MaxContainerID)
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '_' || c == '-' || c == '.' || c == '+'):
		default:
			return fmt.Errorf("container ID %q: %q is not allowed at %d", id, c, i)
		}
	}
	return nil
}
