package scopes

import (
	"errors"

	"github.com/godbus/dbus/v5"
)

// ErrNoSystemd is returned when systemd can't be reached.
var ErrNoSystemd = errors.New("systemd does not answer")

// ErrUnitExists is returned when a unit of that name is there already, or has
// not yet quite gone.
var ErrUnitExists = errors.New("a unit of that name exists")

// ErrGone is returned when the scope, or what is needed in it, was removed
// meanwhile: its last process ended, or somebody stopped it.
var ErrGone = errors.New("the scope is gone")

// ErrLeft is returned when the process to be placed is no longer the one that
// asked, or has withdrawn its request.
var ErrLeft = errors.New("the process that asked is no longer there")

// ErrBusy is returned when so many scopes of the user's are being made that there was no
// turn for this one.
var ErrBusy = errors.New("the user has too many scopes made at once")

// isUnitExists recognises org.freedesktop.systemd1(5)'s answer to a second unit
// of one name.
func isUnitExists(err error) bool {
	return hasName(err, "org.freedesktop.systemd1.UnitExists")
}

// isNoSuchUnit recognises a unit that is gone, or was never there.
func isNoSuchUnit(err error) bool {
	return hasName(err, "org.freedesktop.systemd1.NoSuchUnit")
}

// isUnknownProperty recognises a property that this systemd doesn't know, or
// doesn't let be set on a scope.
//
// Source: systemd, src/core/dbus-util.c, bus_set_transient_… and dbus-unit.c,
// bus_unit_set_properties: "Cannot set property %s, or unknown property."
func isUnknownProperty(err error) bool {
	return hasName(err, "org.freedesktop.DBus.Error.PropertyReadOnly")
}

// answerOf is the answer on D-Bus that an error is.
func answerOf(err error) (answer dbus.Error, ok bool) {
	if pointer, ok := errors.AsType[*dbus.Error](err); ok {
		return *pointer, true
	}
	return errors.AsType[dbus.Error](err)
}

// isAnswer reports whether an error is systemd's own answer, also by the result of a job.
func isAnswer(err error) bool {
	_, ok := answerOf(err)
	return ok || errors.Is(err, errJob)
}

func hasName(err error, name string) bool {
	answer, ok := answerOf(err)
	return ok && answer.Name == name
}
