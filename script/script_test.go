package script

import (
	"testing"

	"redoubt/resp"
)

type echo struct{}

func (echo) Call(args [][]byte) resp.Reply          { return resp.NewBulk(args[0]) }
func (echo) Allowed([][]byte) (allowed, known bool) { return true, true }
func (echo) Log(int, string)                        {}
func (echo) SetRESP(int)                            {}

func TestRun(t *testing.T) {
	p, err := Compile([]byte("return redis.call(KEYS[1])"))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Run(echo{}, [][]byte{[]byte("a")}, nil, Options{}); string(got.Bytes)+got.Text != "a" {
		t.Errorf("got %+v", got)
	}
	l, err := Load([]byte("#!lua name=x\nredis.register_function('f', function(k, a) return k[1] end)"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Call("f", echo{}, [][]byte{[]byte("a")}, nil, Options{}); got.Text != "a" {
		t.Errorf("got %+v", got)
	}
}
