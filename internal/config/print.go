package config

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// Print writes the configuration in force as TOML that loads again to the same
// values: every key with its documentation and, behind it, where its value
// comes from.
func (c *Config) Print(w io.Writer) error {
	line := func(k key) string {
		return fmt.Sprintf("%s = %s  # %s", k.base(), k.kind.literal(c), c.origins[k.name])
	}
	if err := write(w, line); err != nil {
		return err
	}
	section := ""
	for _, k := range c.whoKeys() {
		if k.section() != section {
			section = k.section()
			if _, err := fmt.Fprintf(w, "\n[%s]\n", section); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(w, line(k)); err != nil {
			return err
		}
	}
	return nil
}

// Values returns every key that is set or has a default, in the order of Print.
func (c *Config) Values() []api.ConfigValue {
	var values []api.ConfigValue
	for _, k := range append(slices.Clone(keys), c.whoKeys()...) {
		values = append(values, api.ConfigValue{Key: k.name, Value: k.kind.literal(c), Origin: c.origins[k.name].String()})
	}
	return values
}

// SaysTheSame reports whether each key has the same value, wherever it comes from.
func (c *Config) SaysTheSame(other *Config) bool {
	return slices.EqualFunc(c.Values(), other.Values(), func(a, b api.ConfigValue) bool {
		return a.Key == b.Key && a.Value == b.Value
	})
}

// write writes every key in its section, below its documentation, as line
// returns it.
func write(w io.Writer, line func(key) string) error {
	var b strings.Builder
	section, defaults := "", Default()
	for _, k := range keys {
		if k.section() != section {
			section = k.section()
			fmt.Fprintf(&b, "\n[%s]\n", section)
		}
		facts := fmt.Sprintf("%s: %s. Default: %s", k.kind.typeName(), k.kind.bounds(), k.kind.literal(defaults))
		fmt.Fprintf(&b, "\n%s%s%s\n", comment(k.doc), comment(facts), line(k))
	}
	_, err := io.WriteString(w, strings.TrimPrefix(b.String(), "\n"))
	return err
}

// comment returns text as comment lines of at most 79 columns.
func comment(text string) string {
	const width = 79
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			b.WriteString("#")
			column = 1
		case column+1+len(word) > width:
			b.WriteString("\n#")
			column = 1
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	b.WriteString("\n")
	return b.String()
}
