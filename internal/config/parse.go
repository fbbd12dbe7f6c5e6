package config

import (
	"cmp"
	"errors"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// value is what stands behind a key.
type value struct {
	form  form
	text  string   // of a string its content, of an integer its digits
	items []string // of a list of strings its content
}

// form is the TOML type of a value, as messages name it.
type form string

const (
	formString  form = "a string"
	formInteger form = "an integer"
	formStrings form = "a list of strings"
)

// apply sets what a file sets and returns all that is wrong with it, by line.
// What comes after an error is read too, so that one run reports everything.
func (c *Config) apply(path string, data []byte) []*Problem {
	p := &parser{config: c, file: path, lines: lineStarts(data)}
	p.toml.Reset(data)
	for p.toml.NextExpression() {
		p.expression(p.toml.Expression())
	}
	// The parser hands out positions, which the decoder does not, but takes
	// what is against TOML's rules across lines, such as a key set twice.
	if syntax, ok := errors.AsType[*unstable.ParserError](p.toml.Error()); ok {
		p.problem(p.line(p.toml.Range(syntax.Highlight)), "", "syntax error: "+syntax.Message)
	}
	if decode, ok := errors.AsType[*toml.DecodeError](toml.Unmarshal(data, &map[string]any{})); ok {
		line, _ := decode.Position()
		if !p.reported(line) {
			p.problem(line, dotted(decode.Key()), "syntax error: "+strings.TrimPrefix(decode.Error(), "toml: "))
		}
	}
	slices.SortStableFunc(p.problems, func(a, b *Problem) int { return cmp.Compare(a.Line, b.Line) })
	return p.problems
}

type parser struct {
	config   *Config
	file     string
	lines    []int // offset of each line's first byte
	toml     unstable.Parser
	section  []string // of the table whose keys follow
	skip     bool     // that table was refused as a whole
	problems []*Problem
}

// expression takes one line, or what a value of several lines makes of it.
func (p *parser) expression(e *unstable.Node) {
	switch e.Kind {
	case unstable.Table, unstable.ArrayTable:
		var line int
		p.section, line = p.path(nil, e)
		name := dotted(p.section)
		p.skip = true
		switch {
		case !isTable(p.section):
			p.problem(line, name, "unknown section"+suggestSection(name))
		case e.Kind == unstable.ArrayTable:
			p.problem(line, name, "must be a section, ["+name+"], not a list")
		default:
			p.skip = false
		}
	case unstable.KeyValue:
		if !p.skip {
			p.keyValue(p.section, e)
		}
	}
}

// keyValue takes "key = value", and each pair of an inline table by itself.
func (p *parser) keyValue(prefix []string, e *unstable.Node) {
	path, line := p.path(prefix, e)
	name := dotted(path)
	if e.Value().Kind == unstable.InlineTable && isTable(path) {
		for it := e.Value().Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				p.keyValue(path, it.Node())
			}
		}
		return
	}
	k, ok := lookup(name)
	if !ok {
		k, ok = ofWhom(path)
	}
	switch {
	case ok:
		if err := k.kind.set(p.config, valueOf(e.Value())); err != nil {
			p.problem(line, name, err.Error())
			return
		}
		p.config.origins[name] = Origin{File: p.file, Line: line}
	case isTable(path):
		p.problem(line, name, "is a section, ["+name+"], not a key")
	default:
		p.problem(line, name, "unknown key"+suggestKey(path))
	}
}

// path returns the names that a table or a pair stands under and its line.
func (p *parser) path(prefix []string, e *unstable.Node) (path []string, line int) {
	path = append(path, prefix...)
	for it := e.Key(); it.Next(); {
		path = append(path, string(it.Node().Data))
		if line == 0 {
			line = p.line(it.Node().Raw)
		}
	}
	return path, line
}

// line returns the number of the line in which r begins.
func (p *parser) line(r unstable.Range) int {
	return sort.SearchInts(p.lines, int(r.Offset)+1)
}

func (p *parser) problem(line int, key, reason string) {
	p.problems = append(p.problems, &Problem{File: p.file, Line: line, Key: cut(key), Reason: reason})
}

func (p *parser) reported(line int) bool {
	return slices.ContainsFunc(p.problems, func(one *Problem) bool { return one.Line == line })
}

// valueOf returns what a key's kind has to know of its value.
func valueOf(n *unstable.Node) value {
	switch n.Kind {
	case unstable.String:
		return value{form: formString, text: string(n.Data)}
	case unstable.Integer:
		return value{form: formInteger, text: string(n.Data)}
	case unstable.Float:
		return value{form: "a number with a fraction"}
	case unstable.Bool:
		return value{form: "true or false"}
	case unstable.Array:
		return list(n)
	case unstable.InlineTable:
		return value{form: "a table"}
	default:
		return value{form: "a date or time"}
	}
}

// list is a list, of strings if it can be.
func list(n *unstable.Node) value {
	v := value{form: formStrings}
	for it := n.Children(); it.Next(); {
		switch it.Node().Kind {
		case unstable.Comment:
		case unstable.String:
			v.items = append(v.items, string(it.Node().Data))
		default:
			return value{form: "a list of other things than strings"}
		}
	}
	return v
}

// dotted joins names as they would stand in a file.
func dotted(path []string) string {
	quoted := make([]string, len(path))
	for i, name := range path {
		bare := name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
		if quoted[i] = name; !bare {
			quoted[i] = strconv.Quote(name)
		}
	}
	return strings.Join(quoted, ".")
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, b := range data {
		if b == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}
