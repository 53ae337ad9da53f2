package script

// The syntax tree. Names are resolved while it is read: a variable is a slot of its function's
// frame, a cell of a function around it, or global.

type expr interface{}

type (
	nilExpr    struct{}
	boolExpr   struct{ v bool }
	numberExpr struct{ n float64 }
	stringExpr struct{ s *str }
	dotsExpr   struct{}
	localExpr  struct{ v *local }
	upExpr     struct {
		index int
		name  string
	}
	globalExpr struct {
		name *str
		line int
	}
	indexExpr struct {
		object, key expr
		line        int
	}
	callExpr struct {
		fn     expr
		method *str // of object:name(), where fn is the object
		args   []expr
		line   int
	}
	binaryExpr struct {
		op          token
		left, right expr
		line        int
	}
	unaryExpr struct {
		op      token
		operand expr
		line    int
	}
	parenExpr struct{ inner expr }
	tableExpr struct {
		items []tableItem
		line  int
	}
	funcExpr struct{ fn *function }
)

// tableItem of a constructor has no key when it is a part of the list.
type tableItem struct{ key, val expr }

type stmt interface{}

type (
	localStmt struct {
		vars []*local
		vals []expr
	}
	assignStmt struct {
		targets []expr
		vals    []expr
		line    int
	}
	callStmt  struct{ call *callExpr }
	doStmt    struct{ body *block }
	whileStmt struct {
		cond expr
		body *block
	}
	repeatStmt struct {
		body *block
		cond expr
	}
	ifStmt struct {
		conds  []expr
		bodies []*block // one more than conds if there is an else
	}
	forStmt struct {
		v                 *local
		start, stop, step expr
		body              *block
		line              int
	}
	forInStmt struct {
		vars []*local
		vals []expr
		body *block
		base int // slot of the iterator, its state and the control variable
		line int
	}
	localFuncStmt struct {
		v  *local
		fn *function
	}
	returnStmt struct{ vals []expr }
	breakStmt  struct{}
)

// block has a cost, which is taken from the budget each time it is run.
type block struct {
	stmts []stmt
	cost  int64
}

// local is a local variable.
type local struct {
	name     string
	slot     int
	captured bool
}

// function is a function while it is read.
type function struct {
	outer   *function
	scopes  []*scope
	active  []*local
	ups     []upvalue
	params  []*local
	dots    bool
	body    *block
	slots   int // that a frame needs
	used    int // in the current scope
	line    int
	deepest int // nesting of its expressions and statements
}

type scope struct {
	active, used int
	loop         bool
}

// upvalue is where a closure takes a cell from: the frame around it, or that frame's closure.
type upvalue struct {
	name  string
	local *local
	index int
}

// Limits of a function in Lua 5.1.
const (
	maxLocals   = 200
	maxUpvalues = 60
	maxNesting  = 200
)
