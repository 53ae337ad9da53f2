package command

import "math"

// A place is kept as a score of 52 bits: longitude and latitude are divided into 2^26 steps each, and the bits of the
// two numbers alternate. So what is in a box of a coarser grid is a range of scores.
const (
	geoStepMax = 26
	geoLonMax  = 180.0
	geoLatMax  = 85.05112878 // as in the Mercator projection of web maps

	earthRadius = 6372797.560856 // in metres
	mercatorMax = 20037726.37
	degree      = float64(math.Pi) / 180
)

// geoBox is a box of the grid that has 2^step columns and rows. The zero value is none.
type geoBox struct {
	bits uint64
	step uint
}

// geoArea is a range of degrees.
type geoArea struct{ lonMin, lonMax, latMin, latMax float64 }

var worldArea = geoArea{-geoLonMax, geoLonMax, -geoLatMax, geoLatMax}

// spreadBits puts a zero before each bit.
func spreadBits(n uint32) uint64 {
	x := uint64(n)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	x = (x | x<<2) & 0x3333333333333333
	return (x | x<<1) & 0x5555555555555555
}

// gatherBits undoes spreadBits.
func gatherBits(x uint64) uint32 {
	x &= 0x5555555555555555
	x = (x | x>>1) & 0x3333333333333333
	x = (x | x>>2) & 0x0f0f0f0f0f0f0f0f
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// box is the one that a place, which is in the area, is in.
func (a geoArea) box(lon, lat float64, step uint) geoBox {
	steps := float64(uint64(1) << step)
	x := (lon - a.lonMin) / (a.lonMax - a.lonMin) * steps
	y := (lat - a.latMin) / (a.latMax - a.latMin) * steps
	return geoBox{spreadBits(uint32(y)) | spreadBits(uint32(x))<<1, step}
}

// area is the one of a box of the world.
func (b geoBox) area() geoArea {
	steps := float64(uint64(1) << b.step)
	at := func(i uint32, low, high float64) float64 { return low + float64(float64(i)/steps*(high-low)) }
	y, x := gatherBits(b.bits), gatherBits(b.bits>>1)
	return geoArea{at(x, -geoLonMax, geoLonMax), at(x+1, -geoLonMax, geoLonMax),
		at(y, -geoLatMax, geoLatMax), at(y+1, -geoLatMax, geoLatMax)}
}

// move returns the box so many columns to the east and rows to the north, of which the ends are connected. A place on
// the eastern or northern edge of the world is in a column or row too much, out of which only a move leads.
func (b geoBox) move(columns, rows int) geoBox {
	mask := uint32(1)<<b.step - 1
	x, y := gatherBits(b.bits>>1), gatherBits(b.bits)
	if columns != 0 {
		x = uint32(int(x)+columns) & mask
	}
	if rows != 0 {
		y = uint32(int(y)+rows) & mask
	}
	return geoBox{spreadBits(y) | spreadBits(x)<<1, b.step}
}

// scores returns the lowest score of the places in a box, and the lowest one above all of them.
func (b geoBox) scores() (from, to float64) {
	shift := 2 * (geoStepMax - b.step)
	return float64(b.bits << shift), float64((b.bits + 1) << shift)
}

// geoScore is the score of a place.
func geoScore(lon, lat float64) float64 { return float64(worldArea.box(lon, lat, geoStepMax).bits) }

// geoPlace is the place that a score stands for, whatever the score.
func geoPlace(score float64) (lon, lat float64) {
	a := geoBox{scoreBits(score), geoStepMax}.area()
	lon, lat = (a.lonMin+a.lonMax)/2, (a.latMin+a.latMax)/2
	return min(max(lon, -geoLonMax), geoLonMax), min(max(lat, -geoLatMax), geoLatMax)
}

// scoreBits converts a score to an unsigned integer as processors of the x86 family do when it is out of range.
func scoreBits(score float64) uint64 {
	if score < 1<<63 {
		return uint64(truncate(score))
	}
	return uint64(truncate(score-1<<63)) ^ 1<<63
}

// truncate converts a number to an integer; what is out of range is the smallest one, as on x86.
func truncate(f float64) int64 {
	if f >= -1<<63 && f < 1<<63 {
		return int64(f)
	}
	return math.MinInt64
}

// geohashText is the geohash of a place in the usual form, which goes up to the poles. The last letter stands for bits
// that are not known.
func geohashText(lon, lat float64) string {
	const alphabet, letters = "0123456789bcdefghjkmnpqrstuvwxyz", 11
	bits := geoArea{-180, 180, -90, 90}.box(lon, lat, geoStepMax).bits
	text := make([]byte, letters)
	for i := range text {
		if shift := 2*geoStepMax - 5*(i+1); shift >= 0 {
			text[i] = alphabet[bits>>shift&31]
		} else {
			text[i] = alphabet[0]
		}
	}
	return string(text)
}

// latitudeDistance is that of two places of one longitude, in metres.
func latitudeDistance(lat1, lat2 float64) float64 {
	return earthRadius * math.Abs(float64(lat2*degree)-float64(lat1*degree))
}

// geoDistance is the distance of two places in metres, by the haversine formula.
func geoDistance(lon1, lat1, lon2, lat2 float64) float64 {
	v := sin((float64(lon2*degree) - float64(lon1*degree)) / 2)
	if v == 0 {
		return latitudeDistance(lat1, lat2)
	}
	y1, y2 := float64(lat1*degree), float64(lat2*degree)
	u := sin((y2 - y1) / 2)
	a := float64(u*u) + float64(cos(y1)*cos(y2)*v*v)
	return 2 * earthRadius * asin(math.Sqrt(a))
}

// geoShape is a circle or a rectangle around a place, in some unit.
type geoShape struct {
	lon, lat      float64
	unit          float64 // in metres
	circle        bool
	radius        float64
	width, height float64
}

// distance is that of a place from the centre, in metres, and whether it is within the shape.
func (s *geoShape) distance(lon, lat float64) (float64, bool) {
	if s.circle {
		d := geoDistance(s.lon, s.lat, lon, lat)
		return d, !(d > s.radius*s.unit)
	}
	if latitudeDistance(lat, s.lat) > s.height*s.unit/2 || geoDistance(lon, lat, s.lon, lat) > s.width*s.unit/2 {
		return 0, false
	}
	return geoDistance(s.lon, s.lat, lon, lat), true
}

// bounds is an area around the shape.
func (s *geoShape) bounds() geoArea {
	height, width := s.unit*s.radius, s.unit*s.radius
	if !s.circle {
		height, width = s.unit*(s.height/2), s.unit*(s.width/2)
	}
	lat := height / earthRadius / degree
	nearPole := s.lat + lat // on the side of the pole that is nearer, a degree of longitude is shortest
	if s.lat < 0 {
		nearPole = s.lat - lat
	}
	lon := width / earthRadius / cos(nearPole*degree) / degree
	return geoArea{s.lon - lon, s.lon + lon, s.lat - lat, s.lat + lat}
}

// step is about the finest grid in which the shape lies in a box and those around it.
func (s *geoShape) step() uint {
	reach := s.radius
	if !s.circle {
		reach = math.Sqrt(float64(s.width/2*(s.width/2)) + float64(s.height/2*(s.height/2)))
	}
	reach *= s.unit
	if reach == 0 {
		return geoStepMax
	}
	step := 1
	for ; reach < mercatorMax; step++ {
		reach *= 2
	}
	step -= 2
	if math.Abs(s.lat) > 66 {
		step--
	}
	if math.Abs(s.lat) > 80 {
		step--
	}
	return uint(min(max(step, 1), geoStepMax))
}

// boxes returns the boxes that the shape lies in, in the order in which Redis looks into them: the one of the centre,
// then north, south, east, west, and the corners. Those that are not needed are left out.
func (s *geoShape) boxes() []geoBox {
	need, step := s.bounds(), s.step()
	centre := worldArea.box(s.lon, s.lat, step)
	if step > 1 && (centre.move(0, 1).area().latMax < need.latMax || centre.move(0, -1).area().latMin > need.latMin ||
		centre.move(1, 0).area().lonMax < need.lonMax || centre.move(-1, 0).area().lonMin > need.lonMin) {
		step--
		centre = worldArea.box(s.lon, s.lat, step)
	}
	boxes, area, last := []geoBox{centre}, centre.area(), 0
	for _, d := range [][2]int{{0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}} {
		beyond := d[1] < 0 && area.latMin < need.latMin || d[1] > 0 && area.latMax > need.latMax ||
			d[0] < 0 && area.lonMin < need.lonMin || d[0] > 0 && area.lonMax > need.lonMax
		if step >= 2 && beyond {
			continue
		}
		box := centre.move(d[0], d[1])
		if last > 0 && box == boxes[last] { // in a grid of two columns, east is west
			continue
		}
		boxes = append(boxes, box)
		last = len(boxes) - 1
	}
	return boxes
}
