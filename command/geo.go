package command

import (
	"fmt"
	"math"
	"math/big"
	"strconv"

	"redoubt/fsm"
	"redoubt/resp"
)

var geoCommands = []Spec{
	{Name: "GEOADD", Arity: -5, Flags: Write | DenyOOM, Keys: oneKey(KeyRW | KeyUpdate),
		Group: GroupGeo, Categories: CatGeo, Since: "3.2.0", Complexity: "O(N log M), N members, M of the set",
		Summary: "Adds members with a longitude and a latitude to a geo set, or moves them.",
		Run:     cmdGeoAdd},
	{Name: "GEODIST", Arity: -4, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeo, Categories: CatGeo, Since: "3.2.0", Complexity: "O(log N), N members",
		Summary: "Returns the distance of two members of a geo set.",
		Run:     cmdGeoDist},
	{Name: "GEOHASH", Arity: -2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeo, Categories: CatGeo, Since: "3.2.0", Complexity: "O(N log M), N members, M of the set",
		Summary: "Returns the geohashes of members of a geo set, as text.",
		Run:     cmdGeoHash},
	{Name: "GEOPOS", Arity: -2, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeo, Categories: CatGeo, Since: "3.2.0", Complexity: "O(N log M), N members, M of the set",
		Summary: "Returns the longitudes and latitudes of members of a geo set.",
		Run:     cmdGeoPos},
	{Name: "GEORADIUS", Arity: -6, Flags: Write | DenyOOM, Keys: geoStoreKeys(6),
		Group: GroupGeo, Categories: CatGeo, Since: "3.2.0", Complexity: "O(N + log M), N members in the area, M of the set",
		Summary:         "Returns or stores the members of a geo set within a distance of a point.",
		Run:             cmdGeoRadius,
		Differs:         differsStoredDistance,
		DeprecatedSince: "6.2.0", ReplacedBy: "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"},
	{Name: "GEORADIUS_RO", Arity: -6, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeo, Categories: CatGeo, Since: "3.2.10", Complexity: "O(N + log M), N members in the area, M of the set",
		Summary:         "Returns the members of a geo set within a distance of a point.",
		Run:             cmdGeoRadiusRO,
		DeprecatedSince: "6.2.0", ReplacedBy: "`GEOSEARCH` with the `BYRADIUS` argument"},
	{Name: "GEORADIUSBYMEMBER", Arity: -5, Flags: Write | DenyOOM, Keys: geoStoreKeys(5),
		Group: GroupGeo, Categories: CatGeo, Since: "3.2.0", Complexity: "O(N + log M), N members in the area, M of the set",
		Summary:         "Returns or stores the members of a geo set within a distance of a member.",
		Run:             cmdGeoRadiusByMember,
		Differs:         differsStoredDistance,
		DeprecatedSince: "6.2.0", ReplacedBy: "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments"},
	{Name: "GEORADIUSBYMEMBER_RO", Arity: -5, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeo, Categories: CatGeo, Since: "3.2.10", Complexity: "O(N + log M), N members in the area, M of the set",
		Summary:         "Returns the members of a geo set within a distance of a member.",
		Run:             cmdGeoRadiusByMemberRO,
		DeprecatedSince: "6.2.0", ReplacedBy: "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"},
	{Name: "GEOSEARCH", Arity: -7, Flags: ReadOnly, Keys: oneKey(KeyRO | KeyAccess),
		Group: GroupGeo, Categories: CatGeo, Since: "6.2.0", Complexity: "O(N + log M), N members in the area, M of the set",
		Summary: "Returns the members of a geo set within a circle or a rectangle.",
		Run:     cmdGeoSearch},
	{Name: "GEOSEARCHSTORE", Arity: -8, Flags: Write | DenyOOM, Keys: twoKeys(KeyOW|KeyUpdate, KeyRO|KeyAccess),
		Group: GroupGeo, Categories: CatGeo, Since: "6.2.0", Complexity: "O(N + log M), N members in the area, M of the set",
		Summary: "Stores the members of a geo set within a circle or a rectangle.",
		Run:     cmdGeoSearchStore, Differs: differsStoredDistance},
}

const differsStoredDistance = "The last digit of a distance that is stored may be another: here it is rounded correctly, on every node."

// Errors of geo commands.
var (
	errGeoUnit     = resp.NewError("ERR unsupported unit provided. please use M, KM, FT, MI")
	errGeoRadius   = resp.NewError("ERR need numeric radius")
	errGeoNegative = resp.NewError("ERR radius cannot be negative")
	errGeoWidth    = resp.NewError("ERR need numeric width")
	errGeoHeight   = resp.NewError("ERR need numeric height")
	errGeoBox      = resp.NewError("ERR height or width cannot be negative")
	errGeoMember   = resp.NewError("ERR could not decode requested zset member")
	errGeoCount    = resp.NewError("ERR COUNT must be > 0")
	errGeoAny      = resp.NewError("ERR the ANY argument requires COUNT argument")
)

// geoStoreKeys are those of a search that may store what it finds, whose options begin at some index.
func geoStoreKeys(options int) Keys {
	return Keys{{Flags: KeyRO | KeyAccess, First: 1, Step: 1},
		{Flags: KeyOW | KeyUpdate, First: options, Step: 1, Keyword: "STORE"},
		{Flags: KeyOW | KeyUpdate, First: options, Step: 1, Keyword: "STOREDIST"}}
}

// parsePlace reads a longitude and a latitude.
func parsePlace(args [][]byte) (lon, lat float64, bad resp.Reply) {
	lon, lonOK := parseDouble(args[0])
	lat, latOK := parseDouble(args[1])
	switch {
	case !lonOK || !latOK:
		return 0, 0, errNotFloat
	case lon < -geoLonMax || lon > geoLonMax || lat < -geoLatMax || lat > geoLatMax:
		return 0, 0, errorf("invalid longitude,latitude pair %s,%s", fixed(lon), fixed(lat))
	}
	return lon, lat, bad
}

// fixed prints a number as C's %f does.
func fixed(f float64) string {
	if math.IsInf(f, 0) {
		return string(resp.AppendDouble(nil, f))
	}
	return strconv.FormatFloat(f, 'f', 6, 64)
}

// parseUnit returns the metres of a unit of length.
func parseUnit(arg []byte) (float64, resp.Reply) {
	switch {
	case isOption(arg, "M"):
		return 1, resp.Reply{}
	case isOption(arg, "KM"):
		return 1000, resp.Reply{}
	case isOption(arg, "FT"):
		return 0.3048, resp.Reply{}
	case isOption(arg, "MI"):
		return 1609.34, resp.Reply{}
	}
	return 0, errGeoUnit
}

func cmdGeoAdd(tx *fsm.Txn, args [][]byte) resp.Reply {
	var o zaddOptions
	first := 2
	for ; first < len(args); first++ {
		if isOption(args[first], "INCR") || isOption(args[first], "GT") || isOption(args[first], "LT") ||
			!o.add(args[first]) {
			break
		}
	}
	words := args[first:]
	if len(words)%3 != 0 || len(words) == 0 || o.nx && o.xx {
		return errSyntax
	}
	members := make([]fsm.ScoredMember, 0, len(words)/3)
	for ; len(words) > 0; words = words[3:] {
		lon, lat, bad := parsePlace(words)
		if bad.IsError() {
			return bad
		}
		members = append(members, fsm.ScoredMember{Member: words[2], Score: geoScore(lon, lat)})
	}
	return zadd(tx, args[1], members, o)
}

// distanceReply has four digits after the point.
func distanceReply(distance float64) resp.Reply {
	n := truncate(math.RoundToEven(distance * 1e4))
	magnitude, sign := uint64(n), ""
	if n < 0 {
		magnitude, sign = -magnitude, "-"
	}
	return resp.NewBulkString(fmt.Sprintf("%s%d.%04d", sign, magnitude/1e4, magnitude%1e4))
}

func cmdGeoDist(tx *fsm.Txn, args [][]byte) resp.Reply {
	unit := 1.0
	if len(args) > 5 {
		return errSyntax
	}
	var bad resp.Reply
	if len(args) == 5 {
		if unit, bad = parseUnit(args[4]); bad.IsError() {
			return bad
		}
	}
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	from, found := z.Score(args[2])
	to, foundTo := z.Score(args[3])
	if !found || !foundTo {
		return resp.Nil
	}
	lon1, lat1 := geoPlace(from)
	lon2, lat2 := geoPlace(to)
	return distanceReply(geoDistance(lon1, lat1, lon2, lat2) / unit)
}

func cmdGeoHash(tx *fsm.Txn, args [][]byte) resp.Reply {
	return eachPlace(tx, args, resp.Nil, func(lon, lat float64) resp.Reply {
		return resp.NewBulkString(geohashText(lon, lat))
	})
}

func cmdGeoPos(tx *fsm.Txn, args [][]byte) resp.Reply {
	return eachPlace(tx, args, resp.NilArray, placeReply)
}

// eachPlace shows the places of members; none stands for those that are not there.
func eachPlace(tx *fsm.Txn, args [][]byte, none resp.Reply, show func(lon, lat float64) resp.Reply) resp.Reply {
	z, bad := lookupZSet(tx, args[1])
	if bad.IsError() {
		return bad
	}
	elems := make([]resp.Reply, 0, len(args)-2)
	for _, member := range args[2:] {
		if score, found := z.Score(member); found {
			elems = append(elems, show(geoPlace(score)))
		} else {
			elems = append(elems, none)
		}
	}
	return resp.NewArray(elems)
}

// placeReply has 17 digits after the point, without the zeros at the end.
func placeReply(lon, lat float64) resp.Reply {
	digits := func(f float64) resp.Reply { return resp.NewDoubleText(string(formatFloat(big.NewFloat(f)))) }
	return resp.ArrayOf(digits(lon), digits(lat))
}
