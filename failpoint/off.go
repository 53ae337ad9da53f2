//go:build !failpoints

package failpoint

import "errors"

// Enabled says whether the program was built with the tag failpoints.
const Enabled = false

// Point is a place that can crash or wait.
type Point struct{}

// ErrPoint is a place that can also return an error.
type ErrPoint struct{}

func newPoint(string) Point       { return Point{} }
func newErrPoint(string) ErrPoint { return ErrPoint{} }

// Hit is called where the program comes by.
func (Point) Hit() {}

// Err is called where the program comes by.
func (ErrPoint) Err() error { return nil }

// After is called where the program comes by with the outcome of a step: it returns err, or what Err
// returns if that is nil.
func (ErrPoint) After(err error) error { return err }

// Arm sets what happens at a point.
func Arm(string, string) error { return errors.New("not built with the tag failpoints") }

// Status describes a point.
type Status struct {
	Name     string
	Fallible bool   // it is an ErrPoint
	Hits     uint64 // how often the program came by
	Action   string // as given to Arm, "off" when it is not armed
}

// List describes all points, in the order of their declaration.
func List() []Status { return nil }
