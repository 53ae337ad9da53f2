package script

// Priorities of binary operators, to their left and to their right.
var priorities = map[token][2]int{
	'+': {6, 6}, '-': {6, 6}, '*': {7, 7}, '/': {7, 7}, '%': {7, 7}, '^': {10, 9}, tokConcat: {5, 4},
	tokNe: {3, 3}, tokEq: {3, 3}, '<': {3, 3}, tokLe: {3, 3}, '>': {3, 3}, tokGe: {3, 3},
	tokAnd: {2, 2}, tokOr: {1, 1},
}

const unaryPriority = 8

func (p *parser) expr() expr { return p.subexpr(0) }

// subexpr reads operators that bind more strongly than limit.
func (p *parser) subexpr(limit int) expr {
	p.enter()
	defer p.leave()
	around := p.high
	p.high = 0
	defer func() { p.high = max(p.high, around) }()
	var left expr
	switch op := p.tok; op {
	case tokNot, '-', '#':
		p.next()
		operand := p.subexpr(unaryPriority)
		left = fold(&unaryExpr{op, operand, p.lastLine})
	default:
		left = p.simple()
	}
	for {
		op := p.tok
		priority, ok := priorities[op]
		if !ok || priority[0] <= limit {
			return left
		}
		p.next()
		right := p.subexpr(priority[1])
		left = &binaryExpr{op, left, right, p.lastLine}
		p.higher()
	}
}

// maxHeight bounds the trees of expressions, which are read, compiled and run on Go's stack: that of a+b+c... is as high as the
// chain is long, whatever there is between the parentheses at its begin.
const maxHeight = 10_000

// fold makes constants of constants.
func fold(e *unaryExpr) expr {
	if n, ok := e.operand.(*numberExpr); ok && e.op == '-' {
		return &numberExpr{-n.n}
	}
	return e
}

func (p *parser) simple() expr {
	var e expr
	switch p.tok {
	case tokNumber:
		e = &numberExpr{p.num}
	case tokString:
		e = &stringExpr{constant(p.text)}
	case tokNil:
		e = &nilExpr{}
	case tokTrue:
		e = &boolExpr{true}
	case tokFalse:
		e = &boolExpr{false}
	case tokDots:
		if !p.fn.dots {
			p.failHere("cannot use '...' outside a vararg function")
		}
		e = &dotsExpr{}
	case '{':
		return p.constructor()
	case tokFunction:
		line := p.line
		p.next()
		return &funcExpr{p.function(false, line)}
	default:
		return p.suffixed()
	}
	p.next()
	return e
}

func (p *parser) constructor() expr {
	line := p.line
	t := &tableExpr{line: line}
	p.expect('{')
	for p.tok != '}' {
		p.cost++
		switch {
		case p.tok == tokName && p.lookAhead() == '=':
			key := &stringExpr{constant(p.name())}
			p.expect('=')
			t.items = append(t.items, tableItem{key, p.expr()})
		case p.tok == '[':
			p.next()
			key := p.expr()
			p.expect(']')
			p.expect('=')
			t.items = append(t.items, tableItem{key, p.expr()})
		default:
			t.items = append(t.items, tableItem{nil, p.expr()})
		}
		if !p.accept(',') && !p.accept(';') {
			break
		}
	}
	p.expectClosing('}', '{', line)
	t.line = p.lastLine
	return t
}

func (p *parser) primary() expr {
	switch p.tok {
	case '(':
		line := p.line
		p.next()
		e := p.expr()
		p.expectClosing(')', '(', line)
		switch e.(type) {
		case *callExpr, *dotsExpr:
			return &parenExpr{e}
		case *localExpr, *upExpr, *globalExpr, *indexExpr:
			return &parenExpr{e} // it can't be assigned to
		}
		return e
	case tokName:
		return p.variable(p.name())
	}
	p.failHere("unexpected symbol")
	return nil
}

// suffixed reads a variable, or a call.
func (p *parser) suffixed() expr {
	around := p.high
	p.high = 0
	defer func() { p.high = max(p.high, around) }()
	e := p.primary()
	for {
		switch p.tok {
		case '.':
			p.next()
			key := &stringExpr{constant(p.name())}
			e = &indexExpr{e, key, p.lastLine}
		case '[':
			p.next()
			key := p.expr()
			p.expect(']')
			e = &indexExpr{e, key, p.lastLine}
		case ':':
			p.next()
			method := constant(p.name())
			e = p.call(e, method)
		case '(', tokString, '{':
			e = p.call(e, nil)
		default:
			return e
		}
		p.cost++
		p.higher()
	}
}

func (p *parser) call(fn expr, method *str) expr {
	c := &callExpr{fn: fn, method: method, line: p.line}
	p.cost += 2
	switch p.tok {
	case '(':
		if p.line != p.lastLine {
			p.failHere("ambiguous syntax (function call x new statement)")
		}
		line := p.line
		p.next()
		if p.tok != ')' {
			c.args = p.exprs()
		}
		p.expectClosing(')', '(', line)
	case '{':
		c.args = []expr{p.constructor()}
	case tokString:
		c.args = []expr{&stringExpr{constant(p.text)}}
		p.next()
	default:
		p.failHere("function arguments expected")
	}
	return c
}
