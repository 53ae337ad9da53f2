package main

import (
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sizes and colours of the chart.
const (
	chartWidth  = 9 * vg.Inch
	rowHeight   = 0.5 * vg.Inch
	frameHeight = 0.9 * vg.Inch
	margin      = 0.1 * vg.Inch
	legendRows  = 2 // as high as so many rows
	barWidth    = 0.16 * vg.Inch
	markReach   = 0.4 // how far a mark reaches from the middle of its row, of the distance of rows
)

var (
	oneColor   = color.RGBA{R: 0x9e, G: 0xc5, B: 0xe8, A: 0xff}
	threeColor = color.RGBA{R: 0x1f, G: 0x5f, B: 0xa8, A: 0xff}
	markColor  = color.RGBA{R: 0xc0, G: 0x39, B: 0x2b, A: 0xff}
	redisColor = color.Gray{Y: 0x60}
)

// drawing collects the first error, as all of them have one cause: numbers that can't be drawn.
type drawing struct {
	*plot.Plot
	err error
}

// drawChart writes the ratios to Redis as bars, with their marks as lines. The kind of file is that of its name.
func drawChart(tables []*table, file string) error {
	var bars []bar
	for _, t := range tables {
		bars = append(bars, t.bars...)
	}
	if len(bars) == 0 {
		return nil // no section was run that has any
	}
	slices.Reverse(bars) // the first at the top
	d := &drawing{Plot: plot.New()}
	setFont(d.Plot)
	d.Title.Text = "Requests a second, as a ratio to Redis with appendfsync always"
	d.X.Min = 0
	names := make([]string, len(bars))
	var ones, threes plotter.Values
	for i, b := range bars {
		names[i] = b.name
		ones, threes = append(ones, b.one), append(threes, b.three)
	}
	d.bars("one node", ones, oneColor, barWidth/2)
	d.bars("three nodes", threes, threeColor, -barWidth/2)
	d.marks(bars)
	d.redis(len(bars))
	d.NominalY(names...)
	d.X.Max = max(1.05, slices.Max(ones)*1.1, slices.Max(threes)*1.1)
	d.Y.Min = -legendRows // the legend is at the bottom
	if d.err != nil {
		return d.err
	}
	return d.write(file, frameHeight+vg.Length(len(bars)+legendRows)*rowHeight)
}

// write makes the file, with a margin around the plot.
func (d *drawing) write(file string, height vg.Length) error {
	canvas, err := draw.NewFormattedCanvas(chartWidth, height, strings.TrimPrefix(filepath.Ext(file), "."))
	if err != nil {
		return err
	}
	area := draw.New(canvas)
	area.FillPolygon(color.White, []vg.Point{area.Min, {X: area.Max.X, Y: area.Min.Y}, area.Max, {X: area.Min.X, Y: area.Max.Y}})
	d.Draw(draw.Crop(area, margin, -margin, margin, -margin))
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(out)
	return errors.Join(err, out.Close())
}

func setFont(p *plot.Plot) {
	sans := font.Font{Typeface: "Liberation", Variant: "Sans"}
	p.Title.TextStyle.Font = font.From(sans, 13)
	p.Title.Padding = vg.Points(8)
	p.X.Tick.Label.Font = font.From(sans, 10)
	p.Y.Tick.Label.Font = font.From(sans, 10)
	p.Legend.TextStyle.Font = font.From(sans, 10)
}

// bars adds a row of bars with their values written at their ends.
func (d *drawing) bars(name string, values plotter.Values, fill color.Color, offset vg.Length) {
	chart, err := plotter.NewBarChart(values, barWidth)
	if err != nil {
		d.err = err
		return
	}
	chart.Horizontal, chart.Color, chart.Offset, chart.LineStyle.Width = true, fill, offset, 0
	d.Add(chart)
	d.Legend.Add(name, chart)
	ends := plotter.XYLabels{}
	for i, v := range values {
		ends.XYs = append(ends.XYs, plotter.XY{X: v, Y: float64(i)})
		ends.Labels = append(ends.Labels, ratio(v))
	}
	labels, err := plotter.NewLabels(ends)
	if err != nil {
		d.err = err
		return
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Font = font.From(d.X.Tick.Label.Font, 9)
		labels.TextStyle[i].YAlign = draw.YCenter
	}
	labels.Offset = vg.Point{X: vg.Points(4), Y: offset}
	d.Add(labels)
}

// marks adds a line across each bar that has a mark.
func (d *drawing) marks(bars []bar) {
	named := false
	for i, b := range bars {
		for _, m := range []struct{ at, from, to float64 }{{b.oneMark, 0, markReach}, {b.threeMark, -markReach, 0}} {
			if m.at == 0 {
				continue
			}
			line, err := plotter.NewLine(plotter.XYs{{X: m.at, Y: float64(i) + m.from}, {X: m.at, Y: float64(i) + m.to}})
			if err != nil {
				d.err = err
				return
			}
			line.Color, line.Width = markColor, vg.Points(2)
			d.Add(line)
			if !named {
				d.Legend.Add("mark", line)
				named = true
			}
		}
	}
}

// redis adds the line where a system is as fast as Redis.
func (d *drawing) redis(rows int) {
	line, err := plotter.NewLine(plotter.XYs{{X: 1, Y: -0.5}, {X: 1, Y: float64(rows) - 0.5}})
	if err != nil {
		d.err = err
		return
	}
	line.Color, line.Dashes = redisColor, []vg.Length{vg.Points(3), vg.Points(3)}
	d.Add(line)
	d.Legend.Add("Redis", line)
}
