package command

import (
	"cmp"
	"slices"

	"redoubt/fsm"
	"redoubt/resp"
)

// geoSearch is a call of GEOSEARCH or of one of its relatives.
type geoSearch struct {
	name                string // as the client wrote it
	modern              bool   // GEOSEARCH or GEOSEARCHSTORE: the shape is among the options
	mayStore            bool   // STORE and STOREDIST are options
	z                   *fsm.ZSetValue
	shape               geoShape
	from, by            bool // the centre, the shape is known
	fromMember, byBox   bool
	withDist, withHash  bool
	withCoord           bool
	any                 bool
	order               int // 1: nearest first, -1: farthest first
	count               int64
	store               []byte // the key to store under
	stores              bool   // there is one: the reply does not show what is found
	storeDist, storeAll bool   // storeAll: GEOSEARCHSTORE
}

// geoPoint is what a search finds. The distance is in metres.
type geoPoint struct {
	fsm.ScoredMember
	lon, lat, distance float64
}

func cmdGeoRadius(tx *fsm.Txn, args [][]byte) resp.Reply {
	return georadius(tx, args, geoSearch{mayStore: true})
}

func cmdGeoRadiusRO(tx *fsm.Txn, args [][]byte) resp.Reply { return georadius(tx, args, geoSearch{}) }

func cmdGeoRadiusByMember(tx *fsm.Txn, args [][]byte) resp.Reply {
	return georadiusByMember(tx, args, geoSearch{mayStore: true})
}

func cmdGeoRadiusByMemberRO(tx *fsm.Txn, args [][]byte) resp.Reply {
	return georadiusByMember(tx, args, geoSearch{})
}

func cmdGeoSearch(tx *fsm.Txn, args [][]byte) resp.Reply {
	s := geoSearch{modern: true}
	if bad := s.lookup(tx, args[1]); bad.IsError() {
		return bad
	}
	return s.run(tx, args, 2)
}

func cmdGeoSearchStore(tx *fsm.Txn, args [][]byte) resp.Reply {
	s := geoSearch{modern: true, storeAll: true, store: args[1], stores: true}
	if bad := s.lookup(tx, args[2]); bad.IsError() {
		return bad
	}
	return s.run(tx, args, 3)
}

func georadius(tx *fsm.Txn, args [][]byte, s geoSearch) resp.Reply {
	if bad := s.lookup(tx, args[1]); bad.IsError() {
		return bad
	}
	if bad := s.centreAt(args[2:]); bad.IsError() {
		return bad
	}
	if bad := s.circle(args[4:]); bad.IsError() {
		return bad
	}
	return s.run(tx, args, 6)
}

func georadiusByMember(tx *fsm.Txn, args [][]byte, s geoSearch) resp.Reply {
	if bad := s.lookup(tx, args[1]); bad.IsError() {
		return bad
	}
	if s.z.Len() > 0 { // without a key Redis does not look at the distance either
		if bad := s.centreOf(args[2]); bad.IsError() {
			return bad
		}
		if bad := s.circle(args[3:]); bad.IsError() {
			return bad
		}
	}
	return s.run(tx, args, 5)
}

func (s *geoSearch) lookup(tx *fsm.Txn, key []byte) (bad resp.Reply) {
	s.z, bad = lookupZSet(tx, key)
	return bad
}

func (s *geoSearch) centreAt(args [][]byte) (bad resp.Reply) {
	s.shape.lon, s.shape.lat, bad = parsePlace(args)
	s.from = true
	return bad
}

func (s *geoSearch) centreOf(member []byte) resp.Reply {
	s.from, s.fromMember = true, true
	if s.z.Len() == 0 {
		return resp.Reply{}
	}
	score, found := s.z.Score(member)
	if !found {
		return errGeoMember
	}
	s.shape.lon, s.shape.lat = geoPlace(score)
	return resp.Reply{}
}

func (s *geoSearch) circle(args [][]byte) (bad resp.Reply) {
	radius, ok := parseDouble(args[0])
	switch {
	case !ok:
		return errGeoRadius
	case radius < 0:
		return errGeoNegative
	}
	s.by, s.shape.circle, s.shape.radius = true, true, radius
	s.shape.unit, bad = parseUnit(args[1])
	return bad
}

func (s *geoSearch) box(args [][]byte) (bad resp.Reply) {
	width, widthOK := parseDouble(args[0])
	height, heightOK := parseDouble(args[1])
	switch {
	case !widthOK:
		return errGeoWidth
	case !heightOK:
		return errGeoHeight
	case width < 0 || height < 0:
		return errGeoBox
	}
	s.by, s.byBox = true, true
	s.shape.circle, s.shape.width, s.shape.height = false, width, height
	s.shape.unit, bad = parseUnit(args[2])
	return bad
}

// run reads the options, which start at args[first], searches, and answers.
func (s *geoSearch) run(tx *fsm.Txn, args [][]byte, first int) resp.Reply {
	s.name = string(cString(args[0]))
	for left := args[first:]; len(left) > 0; {
		taken, bad := s.option(left)
		if bad.IsError() {
			return bad
		}
		left = left[taken:]
	}
	if bad := s.check(); bad.IsError() {
		return bad
	}
	var points []geoPoint
	if s.z.Len() > 0 {
		points = s.sorted(s.find())
	}
	if !s.stores {
		return s.reply(points)
	}
	members := make([]fsm.ScoredMember, len(points))
	for i, p := range points {
		members[i] = p.ScoredMember
		if s.storeDist {
			members[i].Score = p.distance / s.shape.unit
		}
	}
	event := "georadiusstore"
	if s.storeAll {
		event = "geosearchstore"
	}
	return storeZSet(tx, s.store, members, event)
}

// option takes an option, and returns how many words it has.
func (s *geoSearch) option(args [][]byte) (taken int, bad resp.Reply) {
	is := func(name string, values int) bool { return len(args) > values && isOption(args[0], name) }
	switch {
	case is("WITHDIST", 0):
		s.withDist = true
	case is("WITHHASH", 0):
		s.withHash = true
	case is("WITHCOORD", 0):
		s.withCoord = true
	case is("ANY", 0):
		s.any = true
	case is("ASC", 0):
		s.order = 1
	case is("DESC", 0):
		s.order = -1
	case is("COUNT", 1):
		var ok bool
		if s.count, ok = parseInt(args[1]); !ok {
			return 0, errNotInteger
		}
		return 2, unless(s.count > 0, errGeoCount)
	case s.mayStore && is("STORE", 1):
		s.store, s.stores, s.storeDist = args[1], true, false
		return 2, bad
	case s.mayStore && is("STOREDIST", 1):
		s.store, s.stores, s.storeDist = args[1], true, true
		return 2, bad
	case s.storeAll && is("STOREDIST", 0):
		s.storeDist = true
	case s.modern:
		return s.shapeOption(args, is)
	default:
		return 0, errSyntax
	}
	return 1, bad
}

// shapeOption takes an option of GEOSEARCH that says where to search.
func (s *geoSearch) shapeOption(args [][]byte, is func(name string, values int) bool) (taken int, bad resp.Reply) {
	switch {
	case is("FROMMEMBER", 1) && (s.fromMember || !s.from):
		return 2, s.centreOf(args[1])
	case is("FROMLONLAT", 2) && !s.fromMember:
		return 3, s.centreAt(args[1:])
	case is("BYRADIUS", 2) && !s.byBox:
		return 3, s.circle(args[1:])
	case is("BYBOX", 3) && (s.byBox || !s.by):
		return 4, s.box(args[1:])
	}
	return 0, errSyntax
}

// check refuses options that do not go together.
func (s *geoSearch) check() resp.Reply {
	switch {
	case s.stores && (s.withDist || s.withHash || s.withCoord):
		option := "STORE option in GEORADIUS"
		if s.storeAll {
			option = "GEOSEARCHSTORE"
		}
		return errorf("%s is not compatible with WITHDIST, WITHHASH and WITHCOORD options", option)
	case s.modern && !s.from:
		return errorf("exactly one of FROMMEMBER or FROMLONLAT can be specified for %s", s.name)
	case s.modern && !s.by:
		return errorf("exactly one of BYRADIUS and BYBOX can be specified for %s", s.name)
	case s.any && s.count == 0:
		return errGeoAny
	}
	return resp.Reply{}
}

// find returns the members within the shape, box by box. With ANY it stops when there are enough.
func (s *geoSearch) find() (points []geoPoint) {
	enough := func() bool { return s.any && int64(len(points)) >= s.count }
	for _, box := range s.shape.boxes() {
		if enough() {
			break
		}
		from, to := box.scores()
		first := s.z.First(0, func(m fsm.ScoredMember) bool { return m.Score >= from })
		s.z.Ascend(first, func(m fsm.ScoredMember) bool {
			if m.Score >= to {
				return false
			}
			lon, lat := geoPlace(m.Score)
			if distance, within := s.shape.distance(lon, lat); within {
				points = append(points, geoPoint{m, lon, lat, distance})
			}
			return !enough()
		})
	}
	return points
}

// sorted puts points in the order that is wanted, and leaves out those beyond the count.
func (s *geoSearch) sorted(points []geoPoint) []geoPoint {
	if s.order == 0 && s.count > 0 && !s.any {
		s.order = 1
	}
	compare := func(a, b *geoPoint) int { return s.order * cmp.Compare(a.distance, b.distance) }
	wanted := len(points)
	if s.count > 0 && s.count < int64(wanted) {
		wanted = int(s.count)
	}
	switch {
	case s.order == 0:
	case wanted == len(points):
		slices.SortStableFunc(points, func(a, b geoPoint) int { return compare(&a, &b) })
	default:
		partialSort(points, 0, wanted-1, compare)
	}
	return points[:wanted]
}

// reply shows the points: the members alone, or with what else is wanted.
func (s *geoSearch) reply(points []geoPoint) resp.Reply {
	elems := make([]resp.Reply, 0, len(points))
	for _, p := range points {
		parts := []resp.Reply{resp.NewBulk(p.Member)}
		if s.withDist {
			parts = append(parts, distanceReply(p.distance/s.shape.unit))
		}
		if s.withHash {
			parts = append(parts, resp.NewInt(truncate(p.Score)))
		}
		if s.withCoord {
			parts = append(parts, placeReply(p.lon, p.lat))
		}
		if len(parts) == 1 {
			elems = append(elems, parts[0])
		} else {
			elems = append(elems, resp.NewArray(parts))
		}
	}
	return resp.NewArray(elems)
}
