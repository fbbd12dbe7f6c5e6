package limits

import (
	"slices"
	"strconv"
)

// Properties are limits as they are written: names of properties, and values that
// Check has passed, or "" for no limit.
type Properties map[string]string

// Grants are the limits that an administrator gives builds. The zero value limits none.
type Grants struct {
	All  Properties            // every build's
	Mode map[string]Properties // of builds that were started in this way, see package api
	User map[string]Properties // of this user's builds: by name, or by UID
}

// Grantable lists the properties that an administrator may give builds.
func Grantable() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return Allowed(name) == "" })
}

// Allowed says for people which values the property may have; "" for one that is not
// grantable.
func Allowed(name string) string {
	p, _ := find(name)
	return p.allowed
}

// Describe says for people what the property bounds.
func Describe(name string) string {
	p, _ := find(name)
	return p.doc
}

// Check reports what is wrong with a value, but for "", which is no limit.
func Check(name, value string) error {
	if value == "" {
		return nil
	}
	_, err := Parse([]string{name + "=" + value})
	return err
}

// For returns the limits of a build: property by property what is written for its
// user, else for the way in which it was started, else for all builds.
func (g Grants) For(uid uint32, user, mode string) []Value {
	rows := []Properties{g.User[strconv.FormatUint(uint64(uid), 10)], g.Mode[mode], g.All}
	if user != "" {
		rows = slices.Insert(rows, 0, g.User[user])
	}
	var granted []string
	for _, name := range Grantable() {
		for _, row := range rows {
			value, ok := row[name]
			if ok && value != "" {
				granted = append(granted, name+"="+value)
			}
			if ok {
				break
			}
		}
	}
	read, err := Parse(granted)
	if err != nil {
		panic(err) // Check has passed each
	}
	return read.Values
}
