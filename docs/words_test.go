package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// word is a row of HACKING's vocabulary.
type word struct{ name, meaning, never string }

// words reads the rows of the table below the heading "Words" of a page.
func words(t *testing.T, page string) map[string]word {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Words\n")
	section, _, _ = strings.Cut(section, "\n## ")
	found := map[string]word{}
	for _, line := range strings.Split(section, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| word |") {
			continue
		}
		row := word{name: strings.TrimSpace(cells[1]), meaning: strings.TrimSpace(cells[2]), never: cells[3]}
		if _, twice := found[row.name]; twice {
			t.Errorf("%s: %q stands there twice", page, row.name)
		}
		found[row.name] = row
	}
	if len(found) < 5 {
		t.Fatalf("%s has %d words", page, len(found))
	}
	return found
}

// TestNamesThatWereGivenUpStayAway, as identifiers and, in quotes, as names in JSON.
func TestNamesThatWereGivenUpStayAway(t *testing.T) {
	instead := map[string]string{} // by pattern
	for name, w := range words(t, "../HACKING.md") {
		for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(w.never, -1) {
			instead[match[1]] = name
		}
	}
	if len(instead) < 10 {
		t.Fatalf("%d names are given up", len(instead))
	}
	files := token.NewFileSet()
	checked := map[string]bool{}
	check := func(where token.Pos, name string) {
		if checked[name] {
			return
		}
		checked[name] = true
		for pattern, word := range instead {
			if is, err := path.Match(pattern, name); err != nil {
				t.Fatalf("%s: %v", pattern, err)
			} else if is {
				t.Errorf("%s: %s was given up: the word is %s", files.Position(where), name, word)
			}
		}
	}
	for _, root := range []string{"../api", "../client", "../cmd", "../internal", "../test"} {
		err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(file, ".go") {
				return err
			}
			parsed, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					check(n.Pos(), n.Name)
				case *ast.Field:
					if n.Tag != nil {
						tag, _ := strconv.Unquote(n.Tag.Value)
						name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
						check(n.Tag.Pos(), strconv.Quote(name))
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
