package script

import (
	"errors"
	"fmt"
)

// parser reads a chunk into a tree.
type parser struct {
	lexer
	fn    *function
	depth int
	high  int   // how high the trees are that were read for the current expression: those of its parts
	cost  int64 // of the block that is read
}

// parse reads a chunk. The error is that of Lua.
func parse(source, chunk string) (fn *function, err error) {
	defer func() {
		if r := recover(); r != nil {
			failure, ok := r.(syntaxError)
			if !ok {
				panic(r)
			}
			err = errors.New(failure.text)
		}
	}()
	p := &parser{lexer: lexer{chunk: chunk, src: source, line: 1, lastLine: 1}}
	if len(source) > 0 && source[0] == '\x1b' {
		return nil, fmt.Errorf("%s: bad binary format (truncated precompiled chunk)", chunk)
	}
	p.fn = &function{dots: true}
	p.next()
	p.fn.body = p.block(false)
	p.check(tokEOF)
	return p.fn, nil
}

func (p *parser) accept(t token) bool {
	if p.tok == t {
		p.next()
		return true
	}
	return false
}

func (p *parser) check(t token) {
	if p.tok != t {
		p.failHere(fmt.Sprintf("'%s' expected", t))
	}
}

func (p *parser) expect(t token) {
	p.check(t)
	p.next()
}

// expectClosing wants what closes the token `open` of a line.
func (p *parser) expectClosing(t, open token, line int) {
	if p.tok != t && line != p.line {
		p.failHere(fmt.Sprintf("'%s' expected (to close '%s' at line %d)", t, open, line))
	}
	p.expect(t)
}

func (p *parser) name() string {
	p.check(tokName)
	s := p.text
	p.next()
	return s
}

func (p *parser) enter() {
	p.depth++
	p.cost++
	p.fn.deepest = max(p.fn.deepest, p.depth)
	if p.depth > maxNesting {
		p.fail("chunk has too many syntax levels")
	}
}

func (p *parser) leave() { p.depth-- }

// higher says that the tree of the current expression got one level more around all that it has.
func (p *parser) higher() {
	p.high++
	p.fn.deepest = max(p.fn.deepest, p.depth+p.high)
	if p.high > maxHeight {
		p.fail("chunk has too many syntax levels")
	}
}

func (p *parser) open(loop bool) {
	p.fn.scopes = append(p.fn.scopes, &scope{active: len(p.fn.active), used: p.fn.used, loop: loop})
}

func (p *parser) close() {
	last := len(p.fn.scopes) - 1
	if last < 0 {
		return // an error is on its way, in another function
	}
	s := p.fn.scopes[last]
	p.fn.scopes = p.fn.scopes[:last]
	p.fn.active, p.fn.used = p.fn.active[:s.active], s.used
}

func (p *parser) limit(n, most int, what string) {
	if n <= most {
		return
	}
	if p.fn.line == 0 {
		p.fail(fmt.Sprintf("main function has more than %d %s", most, what))
	}
	p.fail(fmt.Sprintf("function at line %d has more than %d %s", p.fn.line, most, what))
}

// reserve takes slots of the frame until the scope is closed.
func (p *parser) reserve(n int) int {
	at := p.fn.used
	p.fn.used += n
	p.fn.slots = max(p.fn.slots, p.fn.used)
	return at
}

// declare makes a variable, which can be used once it is activated.
func (p *parser) declare(name string) *local {
	p.limit(p.fn.used+1, maxLocals, "local variables")
	return &local{name: name, slot: p.reserve(1)}
}

func (p *parser) activate(vars ...*local) { p.fn.active = append(p.fn.active, vars...) }

func (f *function) findLocal(name string) *local {
	for i := len(f.active) - 1; i >= 0; i-- {
		if f.active[i].name == name {
			return f.active[i]
		}
	}
	return nil
}

// upvalue is the index of a variable of the functions around this one, or -1.
func (p *parser) upvalue(f *function, name string) int {
	for i, up := range f.ups {
		if up.name == name {
			return i
		}
	}
	if f.outer == nil {
		return -1
	}
	up := upvalue{name: name, index: -1}
	if up.local = f.outer.findLocal(name); up.local != nil {
		up.local.captured = true
	} else if up.index = p.upvalue(f.outer, name); up.index < 0 {
		return -1
	}
	p.limit(len(f.ups)+1, maxUpvalues, "upvalues")
	f.ups = append(f.ups, up)
	return len(f.ups) - 1
}

func (p *parser) variable(name string) expr {
	if v := p.fn.findLocal(name); v != nil {
		return &localExpr{v}
	}
	if i := p.upvalue(p.fn, name); i >= 0 {
		return &upExpr{i, name}
	}
	return &globalExpr{constant(name), p.lastLine}
}

func (p *parser) blockEnds() bool {
	switch p.tok {
	case tokElse, tokElseif, tokEnd, tokEOF, tokUntil:
		return true
	}
	return false
}

// block reads statements in a scope of their own.
func (p *parser) block(loop bool) *block {
	p.open(loop)
	defer p.close()
	return p.statements()
}

func (p *parser) statements() *block {
	outer := p.cost
	p.cost = 1
	p.enter()
	b := &block{}
	for last := false; !last && !p.blockEnds(); {
		var s stmt
		s, last = p.statement()
		if s != nil {
			b.stmts = append(b.stmts, s)
		}
		p.accept(';')
	}
	p.leave()
	b.cost = p.cost
	p.cost = outer
	return b
}

func (p *parser) statement() (_ stmt, last bool) {
	line := p.line
	p.cost++
	switch p.tok {
	case tokIf:
		return p.ifStatement(line), false
	case tokWhile:
		p.next()
		before := p.cost
		cond := p.expr()
		again := p.cost - before
		p.expect(tokDo)
		body := p.block(true)
		body.cost += again
		p.expectClosing(tokEnd, tokWhile, line)
		return &whileStmt{cond, body}, false
	case tokDo:
		p.next()
		body := p.block(false)
		p.expectClosing(tokEnd, tokDo, line)
		return &doStmt{body}, false
	case tokFor:
		return p.forStatement(line), false
	case tokRepeat:
		return p.repeatStatement(line), false
	case tokFunction:
		return p.functionStatement(line), false
	case tokLocal:
		p.next()
		if p.accept(tokFunction) {
			v := p.declare(p.name())
			p.activate(v)
			return &localFuncStmt{v, p.function(false, p.line)}, false
		}
		return p.localStatement(), false
	case tokReturn:
		p.next()
		s := &returnStmt{}
		if !p.blockEnds() && p.tok != ';' {
			s.vals = p.exprs()
		}
		return s, true
	case tokBreak:
		p.next()
		for i := len(p.fn.scopes) - 1; ; i-- {
			if i < 0 {
				p.failHere("no loop to break")
			}
			if p.fn.scopes[i].loop {
				return &breakStmt{}, true
			}
		}
	}
	return p.exprStatement(), false
}

func (p *parser) ifStatement(line int) stmt {
	s := &ifStmt{}
	for {
		p.next()
		s.conds = append(s.conds, p.expr())
		p.expect(tokThen)
		s.bodies = append(s.bodies, p.block(false))
		if p.tok != tokElseif {
			break
		}
	}
	if p.accept(tokElse) {
		s.bodies = append(s.bodies, p.block(false))
	}
	p.expectClosing(tokEnd, tokIf, line)
	return s
}

func (p *parser) repeatStatement(line int) stmt {
	p.next()
	p.open(true)
	p.open(false)
	body := p.statements()
	p.expectClosing(tokUntil, tokRepeat, line)
	before := p.cost
	cond := p.expr() // sees the variables of the body
	body.cost += p.cost - before
	p.close()
	p.close()
	return &repeatStmt{body, cond}
}

func (p *parser) forStatement(line int) stmt {
	p.open(true)
	defer p.close()
	p.next()
	first := p.name()
	switch p.tok {
	case '=':
		p.next()
		s := &forStmt{line: line}
		p.limit(p.fn.used+3, maxLocals, "local variables")
		p.reserve(3)
		s.start = p.expr()
		p.expect(',')
		s.stop = p.expr()
		if p.accept(',') {
			s.step = p.expr()
		}
		s.line = p.lastLine
		p.expect(tokDo)
		p.open(false)
		s.v = p.declare(first)
		p.activate(s.v)
		s.body = p.block(false)
		p.close()
		p.expectClosing(tokEnd, tokFor, line)
		return s
	case ',', tokIn:
		names := []string{first}
		for p.accept(',') {
			names = append(names, p.name())
		}
		p.expect(tokIn)
		s := &forInStmt{line: p.line}
		p.limit(p.fn.used+3, maxLocals, "local variables")
		s.base = p.reserve(3)
		s.vals = p.exprs()
		p.expect(tokDo)
		p.open(false)
		for _, name := range names {
			s.vars = append(s.vars, p.declare(name))
		}
		p.activate(s.vars...)
		s.body = p.block(false)
		s.body.cost += int64(len(s.vars))
		p.close()
		p.expectClosing(tokEnd, tokFor, line)
		return s
	}
	p.failHere("'=' or 'in' expected")
	return nil
}

func (p *parser) functionStatement(line int) stmt {
	p.next()
	target := p.variable(p.name())
	method := false
	for p.tok == '.' || p.tok == ':' {
		method = p.tok == ':'
		line := p.lastLine
		p.next()
		target = &indexExpr{target, &stringExpr{constant(p.name())}, line}
		if method {
			break
		}
	}
	fn := p.function(method, line)
	return &assignStmt{[]expr{target}, []expr{&funcExpr{fn}}, line}
}

func (p *parser) localStatement() stmt {
	s := &localStmt{}
	for {
		s.vars = append(s.vars, p.declare(p.name()))
		p.cost++
		if !p.accept(',') {
			break
		}
	}
	if p.accept('=') {
		s.vals = p.exprs()
	}
	p.activate(s.vars...)
	return s
}

func (p *parser) exprStatement() stmt {
	p.enter()
	defer p.leave()
	e := p.suffixed()
	if call, ok := e.(*callExpr); ok {
		return &callStmt{call}
	}
	s := &assignStmt{targets: []expr{e}}
	for {
		switch e.(type) {
		case *localExpr, *upExpr, *globalExpr, *indexExpr:
		default:
			p.failHere("syntax error")
		}
		if !p.accept(',') {
			break
		}
		e = p.suffixed()
		s.targets = append(s.targets, e)
		if len(s.targets) > maxNesting-p.depth {
			p.fail("variables in assignment has too many syntax levels")
		}
	}
	p.expect('=')
	s.vals = p.exprs()
	s.line = p.lastLine
	return s
}

func (p *parser) exprs() []expr {
	list := []expr{p.expr()}
	for p.accept(',') {
		list = append(list, p.expr())
	}
	return list
}

// function reads parameters and body.
func (p *parser) function(method bool, line int) *function {
	f := &function{outer: p.fn, line: line}
	p.fn = f
	around := p.high
	p.high = 0
	p.expect('(')
	if method {
		f.params = append(f.params, p.declare("self"))
	}
	if p.tok != ')' {
		for {
			if p.accept(tokDots) {
				f.dots = true
				break
			}
			if p.tok != tokName {
				p.failHere("<name> or '...' expected")
			}
			f.params = append(f.params, p.declare(p.name()))
			if !p.accept(',') {
				break
			}
		}
	}
	p.activate(f.params...)
	p.expect(')')
	f.body = p.block(false)
	p.expectClosing(tokEnd, tokFunction, line)
	p.fn = f.outer
	p.fn.deepest = max(p.fn.deepest, p.depth)
	p.high = max(p.high, around)
	return f
}
