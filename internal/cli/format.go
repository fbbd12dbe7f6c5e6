package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"text/template"
)

// format is a --format: a Go template for each build, or "json".
type format struct {
	json     bool
	table    bool // begins with "table": aligned, with headings
	template *template.Template
}

// newFormat reads the value of --format. sample is a row of the kind that it
// will be used on: a placeholder that there is not is found before the daemon
// is asked for anything.
func newFormat(text string, sample any) (format, error) {
	if text == "json" {
		return format{json: true}, nil
	}
	text = unescape(text)
	rest, table := strings.CutPrefix(text, "table")
	if table = table && (rest == "" || rest[0] == ' ' || rest[0] == '\t'); table {
		text = strings.TrimLeft(rest, " \t")
	}
	if text == "" {
		return format{}, errors.New("--format: the template is empty")
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	t, err := template.New("format").Funcs(templateFunctions).Parse(text)
	if err != nil {
		return format{}, fmt.Errorf("--format: the template can't be read: %s", templateWords(err))
	}
	// Other errors may come of the sample's being empty.
	if err := t.Execute(io.Discard, sample); err != nil {
		if _, after, ok := strings.Cut(err.Error(), "can't evaluate field "); ok {
			name, _, _ := strings.Cut(after, " ")
			return format{}, fmt.Errorf("--format: there is no placeholder .%s", name)
		}
	}
	return format{table: table, template: t}, nil
}

// whereInTemplate is what package template puts before and behind what is wrong.
//
// Source: text/template, exec.go, (*state).errorf; text/template/parse, (*Tree).errorf.
var (
	whereInTemplate = regexp.MustCompile(`^template: format:[0-9:]+ (?:executing "format" at <(.*?)>: )?(?:error calling \w+: )?`)
	startedAt       = regexp.MustCompile(` started at format:\d+$`)
	ownType         = regexp.MustCompile(`(item )?of type \*?cli\.\w+`)
)

// templateWords says what is wrong with a template, and where, as its author has written it.
func templateWords(err error) string {
	text := err.Error()
	found := whereInTemplate.FindStringSubmatch(text)
	if found == nil {
		return text
	}
	text = startedAt.ReplaceAllString(strings.TrimPrefix(text, found[0]), "")
	text = ownType.ReplaceAllString(text, "all of a build") // what Go calls it is nobody's business
	switch {
	case strings.HasPrefix(found[1], "{{"):
		return found[1] + ": " + text
	case found[1] != "":
		return "{{" + found[1] + "}}: " + text
	}
	return text
}

// unescape turns \t and \n, which are two characters each inside a shell's single
// quotes, into what they mean. What is inside {{ }} is left to the template.
func unescape(text string) string {
	literal := strings.NewReplacer(`\t`, "\t", `\n`, "\n")
	var b strings.Builder
	for text != "" {
		before, rest, action := strings.Cut(text, "{{")
		b.WriteString(literal.Replace(before))
		if !action {
			break
		}
		inside, after, closed := strings.Cut(rest, "}}")
		b.WriteString("{{" + inside)
		if closed {
			b.WriteString("}}")
		}
		text = after
	}
	return b.String()
}

// templateFunctions are those of podman's templates that make sense here.
var templateFunctions = template.FuncMap{
	"json": func(v any) (string, error) {
		document, err := marshal(v, "")
		return strings.TrimSuffix(document, "\n"), err
	},
	"join":  strings.Join,
	"split": strings.Split,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
}

// fill fills the template in for each row, below the headings if it is a table and there are
// any. A template that fails on one of them prints nothing.
func (f format) fill(rows []any, headings map[string]any) (string, error) {
	if f.table && headings != nil {
		rows = append([]any{headings}, rows...)
	}
	var text strings.Builder
	for _, row := range rows {
		if err := f.template.Execute(&text, row); err != nil {
			return "", fmt.Errorf("--format: %s", templateWords(err))
		}
	}
	return text.String(), nil
}

// align makes columns of what tabs are between.
func align(out io.Writer, text []byte) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if _, err := table.Write(text); err != nil {
		return err
	}
	return table.Flush()
}

// marshal makes a JSON document that is fit for a terminal as well.
func marshal(v any, indent string) (string, error) {
	var document bytes.Buffer
	encoder := json.NewEncoder(&document)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(v); err != nil {
		return "", err
	}
	return escapeJSON(document.Bytes()), nil
}

// writeJSON prints a document.
func writeJSON(out io.Writer, v any) error {
	document, err := marshal(v, "  ")
	if err == nil {
		_, err = io.WriteString(out, document)
	}
	return err
}
