package limits

import "fmt"

// MaxName is the length of the longest name, in bytes.
const MaxName = 64

// CheckName says whether a build may be called so. A name is for people to find
// their builds by. It is shown, and is never a part of a unit's, a cgroup's or a
// file's name; all the same it has no character that could mean something there.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("name of %d bytes: must have 1 to %d", len(name), MaxName)
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '_' || c == '-' || c == '.' || c == '+'):
		default:
			return fmt.Errorf("name %q: only letters, digits and, but for the first, _ - . + are allowed", name)
		}
	}
	return nil
}
