// Lockorder checks in which order locks are taken, in the packages that it is given:
//
//   - each mutex has a number, "// lock order: N" where it is declared, and is only taken
//     with others held that have a smaller one;
//   - with one that is "// lock order: N, alone" nothing is called but builtins, nothing is
//     sent, received or waited for.
//
// It reads the source: what is held is told by Lock and Unlock in a function's text, and by
// the annotations +checklocks and +checklocksrelease of gVisor's checklocks. A call through
// an interface is one of every method that it may be, but for the method that it is made by,
// which wraps another one. What a goroutine does is its own, and what a function does that is
// returned.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	problems, err := check(os.Args[1:]...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, p := range problems {
		fmt.Println(p)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

// lock is a mutex that is a field.
type lock struct {
	name  string
	order int
	alone bool
}

// function is what one function does.
type function struct {
	decl  *ast.FuncDecl
	info  *types.Info
	takes map[*types.Var]bool // locks, those of what it calls included
	calls map[*types.Func]bool
}

type checker struct {
	fset      *token.FileSet
	packages  map[string]*types.Package // ours
	exports   map[string]string         // files, of all others
	locks     map[*types.Var]lock
	functions map[*types.Func]*function
	problems  []string
}

// check returns what is wrong in the packages.
func check(patterns ...string) ([]string, error) {
	out, err := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,GoFiles,Export,DepOnly"}, patterns...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	c := &checker{
		fset: token.NewFileSet(), packages: map[string]*types.Package{}, exports: map[string]string{},
		locks: map[*types.Var]lock{}, functions: map[*types.Func]*function{},
	}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; { // those that others need come first
		var p struct {
			ImportPath, Dir, Export string
			GoFiles                 []string
			DepOnly                 bool
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if c.exports[p.ImportPath] = p.Export; p.DepOnly {
			continue
		}
		if err := c.read(p.ImportPath, p.Dir, p.GoFiles); err != nil {
			return nil, err
		}
	}
	c.follow()
	for _, f := range c.functions {
		c.walk(f, f.decl.Body.List, c.heldAtStart(f))
	}
	slices.Sort(c.problems)
	return slices.Compact(c.problems), nil
}

// Import is for go/types.
func (c *checker) Import(path string) (*types.Package, error) {
	if p, ok := c.packages[path]; ok {
		return p, nil
	}
	return importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(c.exports[path]) }).Import(path)
}

var orderComment = regexp.MustCompile(`^// lock order: (\d+)(, alone)?`)

func (c *checker) read(path, dir string, names []string) error {
	var files []*ast.File
	for _, name := range names {
		file, err := parser.ParseFile(c.fset, filepath.Join(dir, name), nil, parser.ParseComments)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}, Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: c, Error: func(error) {}} // types of different imports may differ
	c.packages[path], _ = config.Check(path, c.fset, files, info)
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.StructType:
				c.readLocks(n, info)
			case *ast.FuncDecl:
				if f, ok := info.Defs[n.Name].(*types.Func); ok && n.Body != nil {
					c.functions[f] = &function{n, info, map[*types.Var]bool{}, map[*types.Func]bool{}}
				}
			}
			return true
		})
	}
	return nil
}

func (c *checker) readLocks(s *ast.StructType, info *types.Info) {
	for _, field := range s.Fields.List {
		for _, name := range field.Names {
			v, ok := info.Defs[name].(*types.Var)
			if !ok || v.Type().String() != "sync.Mutex" && v.Type().String() != "sync.RWMutex" {
				continue
			}
			l := lock{name: c.fset.Position(name.Pos()).String()}
			if field.Comment != nil {
				if m := orderComment.FindStringSubmatch(field.Comment.List[0].Text); m != nil {
					l.order, _ = strconv.Atoi(m[1])
					l.alone = m[2] != ""
				}
			}
			if l.order == 0 {
				c.report(name.Pos(), "the lock has no order")
			}
			c.locks[v] = l
		}
	}
}

func (c *checker) report(at token.Pos, format string, args ...any) {
	p := c.fset.Position(at)
	c.problems = append(c.problems, fmt.Sprintf("%s:%d: %s", filepath.Base(p.Filename), p.Line, fmt.Sprintf(format, args...)))
}

// follow finds out which locks each function takes, by itself or by what it calls.
func (c *checker) follow() {
	for _, f := range c.functions {
		each(f.decl.Body, func(call *ast.CallExpr) {
			if v, name := f.lockOf(call); c.locks[v].name != "" && (name == "Lock" || name == "RLock") {
				f.takes[v] = true
			}
			for _, callee := range c.callees(f, call) {
				f.calls[callee] = true
			}
		})
	}
	for changed := true; changed; {
		changed = false
		for _, f := range c.functions {
			for callee := range f.calls {
				for v := range c.functions[callee].takes {
					changed = changed || !f.takes[v]
					f.takes[v] = true
				}
			}
		}
	}
}

// each calls do with every call that is made by the node itself, and not by a goroutine
// that it begins, or by whoever gets a function that it returns.
func each(n ast.Node, do func(*ast.CallExpr)) {
	returned := map[*ast.FuncLit]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			return false
		case *ast.FuncLit:
			return !returned[n]
		case *ast.ReturnStmt:
			for _, result := range n.Results {
				if f, ok := result.(*ast.FuncLit); ok {
					returned[f] = true
				}
			}
		case *ast.CallExpr:
			do(n)
			return !begins(n)
		}
		return true
	})
}

// begins reports whether a call begins a goroutine with its argument: Go of sync.WaitGroup.
func begins(call *ast.CallExpr) bool {
	s, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (s.Sel.Name == "Go" || s.Sel.Name == "AfterFunc")
}

// lockOf is the field on which a call's method is called, and the method.
func (f *function) lockOf(call *ast.CallExpr) (*types.Var, string) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil, ""
	}
	field, ok := method.X.(*ast.SelectorExpr)
	if !ok {
		return nil, ""
	}
	v, _ := f.info.Uses[field.Sel].(*types.Var)
	return v, method.Sel.Name
}

// callees are the functions of ours that a call may be of.
func (c *checker) callees(f *function, call *ast.CallExpr) (all []*types.Func) {
	id, _ := call.Fun.(*ast.Ident)
	if s, ok := call.Fun.(*ast.SelectorExpr); ok {
		id = s.Sel
	}
	if id == nil {
		return nil
	}
	called, ok := f.info.Uses[id].(*types.Func)
	if !ok {
		return nil
	}
	if c.functions[called] != nil {
		return []*types.Func{called}
	}
	receiver := called.Signature().Recv()
	if receiver == nil {
		return nil
	}
	face, ok := receiver.Type().Underlying().(*types.Interface)
	if !ok {
		return nil
	}
	for other := range c.functions {
		if r := other.Signature().Recv(); r != nil && other.Name() == called.Name() && c.functions[other] != f && types.Implements(r.Type(), face) {
			all = append(all, other)
		}
	}
	return all
}

// held are the locks that are held, by where they were taken.
type held map[*types.Var]token.Pos

func (h held) clone() held {
	other := held{}
	for v, at := range h {
		other[v] = at
	}
	return other
}

// annotated returns the locks that a comment of the function's names after the word.
func (c *checker) annotated(f *function, word string) (all []*types.Var) {
	if f.decl.Doc == nil || f.decl.Recv == nil || len(f.decl.Recv.List[0].Names) == 0 {
		return nil
	}
	for _, line := range f.decl.Doc.List {
		if name, ok := strings.CutPrefix(line.Text, "// "+word+":"+f.decl.Recv.List[0].Names[0].Name+"."); ok {
			t := f.info.Defs[f.decl.Recv.List[0].Names[0]].Type()
			if v, _, _ := types.LookupFieldOrMethod(t, true, c.packages[f.info.Defs[f.decl.Name].Pkg().Path()], name); v != nil {
				all = append(all, v.(*types.Var))
			}
		}
	}
	return all
}

func (c *checker) heldAtStart(f *function) held {
	h := held{}
	for _, word := range []string{"+checklocks", "+checklocksrelease"} {
		for _, v := range c.annotated(f, word) {
			h[v] = f.decl.Pos()
		}
	}
	return h
}

// walk follows statements in order. What is held at the end of a branch is forgotten.
func (c *checker) walk(f *function, list []ast.Stmt, h held) {
	for _, s := range list {
		c.step(f, s, h)
	}
}

func (c *checker) step(f *function, s ast.Stmt, h held) {
	switch s := s.(type) {
	case *ast.DeferStmt:
		return // at the end: what is held until then is held here
	case *ast.GoStmt:
		c.alone(h, s.Pos(), "a goroutine is begun")
		return
	case *ast.BlockStmt:
		c.walk(f, s.List, h)
		return
	case *ast.IfStmt:
		if s.Init != nil {
			c.step(f, s.Init, h)
		}
		c.look(f, s.Cond, h)
		c.walk(f, s.Body.List, h.clone())
		if s.Else != nil {
			c.step(f, s.Else, h.clone())
		}
		return
	case *ast.ForStmt:
		for _, part := range []ast.Stmt{s.Init, s.Post} {
			if part != nil {
				c.step(f, part, h)
			}
		}
		if s.Cond != nil {
			c.look(f, s.Cond, h)
		}
		c.walk(f, s.Body.List, h.clone())
		return
	case *ast.RangeStmt:
		if t := f.info.Types[s.X].Type; t != nil {
			if _, ok := t.Underlying().(*types.Chan); ok {
				c.alone(h, s.Pos(), "something is waited for")
			}
		}
		c.look(f, s.X, h)
		c.walk(f, s.Body.List, h.clone())
		return
	case *ast.SwitchStmt:
		if s.Tag != nil {
			c.look(f, s.Tag, h)
		}
		c.clauses(f, s.Body, h)
		return
	case *ast.SelectStmt:
		c.alone(h, s.Pos(), "something is waited for")
		c.clauses(f, s.Body, h)
		return
	case *ast.SendStmt:
		c.alone(h, s.Pos(), "something is sent")
	}
	c.look(f, s, h)
}

func (c *checker) clauses(f *function, body *ast.BlockStmt, h held) {
	for _, clause := range body.List {
		switch clause := clause.(type) {
		case *ast.CaseClause:
			for _, e := range clause.List {
				c.look(f, e, h)
			}
			c.walk(f, clause.Body, h.clone())
		case *ast.CommClause:
			c.walk(f, clause.Body, h.clone())
		}
	}
}

// look looks at all calls in a node.
func (c *checker) look(f *function, n ast.Node, h held) {
	ast.Inspect(n, func(n ast.Node) bool {
		if receive, ok := n.(*ast.UnaryExpr); ok && receive.Op == token.ARROW {
			c.alone(h, n.Pos(), "something is waited for")
		}
		_, ok := n.(*ast.FuncLit)
		return !ok
	})
	each(n, func(call *ast.CallExpr) {
		if v, name := f.lockOf(call); c.locks[v].name != "" {
			switch name {
			case "Lock", "RLock", "TryLock":
				c.take(h, v, call.Pos())
				h[v] = call.Pos()
			case "Unlock", "RUnlock":
				delete(h, v)
			}
			return
		}
		if f.info.Types[call.Fun].IsBuiltin() || f.info.Types[call.Fun].IsType() {
			return
		}
		c.alone(h, call.Pos(), "something is called")
		for _, callee := range c.callees(f, call) {
			given := c.annotated(c.functions[callee], "+checklocks")
			for v := range c.functions[callee].takes {
				if !slices.Contains(given, v) {
					c.take(h, v, call.Pos())
				}
			}
			for _, v := range c.annotated(c.functions[callee], "+checklocksrelease") {
				delete(h, v)
			}
		}
	})
}

// take checks that a lock may be taken with those that are held.
func (c *checker) take(h held, v *types.Var, at token.Pos) {
	for other := range h {
		if c.locks[other].order >= c.locks[v].order {
			c.report(at, "lock %d of %s is taken with lock %d held", c.locks[v].order, v.Pkg().Name(), c.locks[other].order)
		}
	}
}

// alone reports what is done with a lock that is held alone.
func (c *checker) alone(h held, at token.Pos, what string) {
	for v := range h {
		if c.locks[v].alone {
			c.report(at, "%s with lock %d held", what, c.locks[v].order)
		}
	}
}
