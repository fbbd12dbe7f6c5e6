package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is what values a key takes and where they go.
type kind interface {
	typeName() string             // for documentation
	bounds() string               // the values that are allowed, for documentation and messages
	reset(c *Config)              // sets the default
	set(c *Config, v value) error // sets v, or says why not
	literal(c *Config) string     // the value in force, as TOML
}

// duration is a Go duration string such as "1s" or "250ms". With none, 0 is allowed and stands
// for none.
type duration struct {
	field            func(*Config) *time.Duration
	preset, min, max time.Duration
	none             bool
}

func (duration) typeName() string           { return "duration" }
func (k duration) reset(c *Config)          { *k.field(c) = k.preset }
func (k duration) literal(c *Config) string { return strconv.Quote(short(*k.field(c))) }

func (k duration) bounds() string {
	text := fmt.Sprintf("%s to %s", short(k.min), short(k.max))
	if k.none {
		text += `, or "0s" for none`
	}
	return text
}

func (k duration) set(c *Config, v value) error {
	example := short(cmp.Or(k.preset, k.max))
	if v.form != formString {
		return fmt.Errorf("must be a duration in quotes, such as %q, not %s", example, v.form)
	}
	d, err := time.ParseDuration(v.text)
	switch {
	case err != nil:
		return fmt.Errorf("%s is not a duration such as %q", quoted(v.text), example)
	case (d < k.min || d > k.max) && !(k.none && d == 0):
		return fmt.Errorf("%s is out of bounds: %s", quoted(v.text), k.bounds())
	}
	*k.field(c) = d
	return nil
}

// short is Duration.String without trailing zero units: "10m", not "10m0s".
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// integer is a whole number.
type integer struct {
	field            func(*Config) *int
	preset, min, max int
}

func (integer) typeName() string           { return "integer" }
func (k integer) reset(c *Config)          { *k.field(c) = k.preset }
func (k integer) literal(c *Config) string { return strconv.Itoa(*k.field(c)) }
func (k integer) bounds() string           { return fmt.Sprintf("%d to %d", k.min, k.max) }

func (k integer) set(c *Config, v value) error {
	if v.form != formInteger {
		return fmt.Errorf("must be an integer, not %s", v.form)
	}
	// TOML's prefixes and underscores are Go's, so base 0 reads them all.
	n, err := strconv.ParseInt(v.text, 0, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return fmt.Errorf("%s is not an integer", quoted(v.text))
	}
	if err != nil || n < int64(k.min) || n > int64(k.max) {
		return fmt.Errorf("%s is out of bounds: %s", cut(v.text), k.bounds())
	}
	*k.field(c) = int(n)
	return nil
}

// text is a string.
type text struct {
	field   func(*Config) *string
	preset  string
	allowed string                    // which ones, for people
	no      func(given string) string // why one is not allowed; "" if it is
}

func (text) typeName() string           { return "string" }
func (k text) reset(c *Config)          { *k.field(c) = k.preset }
func (k text) literal(c *Config) string { return strconv.Quote(*k.field(c)) }
func (k text) bounds() string           { return k.allowed }

func (k text) set(c *Config, v value) error {
	if v.form != formString {
		return fmt.Errorf("must be a string, not %s", v.form)
	}
	if no := k.no(v.text); no != "" {
		return fmt.Errorf("%s is not %s", quoted(v.text), no)
	}
	*k.field(c) = v.text
	return nil
}

// oneOf is one of several words.
func oneOf(field func(*Config) *string, preset string, words ...string) text {
	all := strings.Join(words, ", ")
	return text{field, preset, all, func(given string) string {
		if slices.Contains(words, given) {
			return ""
		}
		return "one of " + all
	}}
}

// path is the absolute path of a file, or "" for none.
func path(field func(*Config) *string) text {
	return text{field, "", `an absolute path; "" for none`, func(given string) string {
		if given == "" || filepath.IsAbs(given) && !strings.ContainsRune(given, 0) {
			return ""
		}
		return "an absolute path"
	}}
}

// maxUnit is how long the name of a template may be: an instance has the ID as well.
//
// Source: systemd.unit(5): 255 characters.
const maxUnit = 200

// template is the name of a template of a systemd service, or "" for none.
func template(field func(*Config) *string) text {
	return text{field, "", "a template such as notify-build@.service, or empty", func(given string) string {
		name, ok := strings.CutSuffix(given, "@.service")
		plain := !strings.ContainsFunc(name, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("_.:-", r)
		})
		if given == "" || ok && name != "" && plain && len(given) <= maxUnit {
			return ""
		}
		return `the name of a template such as "notify-build@.service"`
	}}
}

// loopback is IP addresses of this host alone, each with a port.
type loopback struct {
	field  func(*Config) *[]netip.AddrPort
	preset netip.AddrPort
}

// maxAddresses is how many addresses there may be: each has connections of its own.
const maxAddresses = 8

func (loopback) typeName() string  { return "string, or list of strings" }
func (k loopback) reset(c *Config) { *k.field(c) = []netip.AddrPort{k.preset} }
func (loopback) bounds() string {
	return `loopback addresses with a port, such as "127.0.0.1:9100" or ["127.0.0.1:9100", "[::1]:9100"]; "" for none`
}

func (k loopback) literal(c *Config) string {
	all := *k.field(c)
	quoted := make([]string, len(all))
	for i, a := range all {
		quoted[i] = strconv.Quote(a.String())
	}
	switch len(all) {
	case 0:
		return `""`
	case 1:
		return quoted[0]
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func (k loopback) set(c *Config, v value) error {
	given := v.items
	switch {
	case v.form == formString && v.text != "":
		given = []string{v.text}
	case v.form != formString && v.form != formStrings:
		return fmt.Errorf("must be a string or a list of strings, not %s", v.form)
	case len(given) > maxAddresses:
		return fmt.Errorf("has more than %d addresses", maxAddresses)
	}
	var all []netip.AddrPort
	for _, text := range given {
		a, err := k.parse(text)
		if err != nil {
			return err
		}
		if slices.Contains(all, a) {
			return fmt.Errorf("%s is there twice", quoted(text))
		}
		all = append(all, a)
	}
	*k.field(c) = all
	return nil
}

func (k loopback) parse(text string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(text)
	switch {
	case err != nil:
		return a, fmt.Errorf("%s is not an IP address with a port, such as %q (names are not looked up)", quoted(text), k.preset)
	case a.Addr().Zone() != "" || !a.Addr().Unmap().IsLoopback():
		return a, fmt.Errorf("%s is not a loopback address (buildwatchd-metrics.socket is for others)", quoted(text))
	case a.Port() == 0:
		return a, fmt.Errorf("%s has no port", quoted(text))
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), nil
}
