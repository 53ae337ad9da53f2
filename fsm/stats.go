package fsm

// DBStats counts the keys of a logical database, those included whose time has passed but which no
// sweep has deleted yet.
type DBStats struct {
	Keys, Expires int64
}

// Stats are figures of a machine, counted since it was opened.
type Stats struct {
	DB          [Databases]DBStats
	ExpiredKeys uint64 // deleted because their time had passed
	EvictedKeys uint64 // deleted because the data set was above its limit
	Memory      Memory

	CacheKeys, CacheBytes, CacheCapacity int64 // rows in memory
	CacheHits, CacheMisses               uint64

	DiskBytes           int64 // tables and manifests
	MemTableBytes       int64
	BlockCacheBytes     int64
	Flushes             int64
	Compactions         int64
	CompactionDebtBytes int64
	ReadAmp             int64 // tables that a lookup may have to ask, without bloom filters
}

// Stats returns the present figures; those of a closed machine are zero.
func (m *Machine) Stats() Stats {
	var st Stats
	if m.enter() != nil {
		return st
	}
	defer m.leave()
	m.mu.RLock()
	for i := range st.DB {
		st.DB[i] = DBStats{Keys: m.ks.dbs[i].keys, Expires: m.ks.dbs[i].expires}
	}
	m.mu.RUnlock()
	st.ExpiredKeys, st.EvictedKeys, st.Memory = m.expired.Load(), m.evicted.Load(), m.Memory()
	m.cache.addStats(&st)
	p := m.db.Metrics()
	st.DiskBytes = int64(p.DiskSpaceUsage())
	st.MemTableBytes = int64(p.MemTable.Size)
	st.BlockCacheBytes = p.BlockCache.Size
	st.Flushes = p.Flush.Count
	st.Compactions = p.Compact.Count
	st.CompactionDebtBytes = int64(p.Compact.EstimatedDebt)
	st.ReadAmp = int64(p.ReadAmp())
	return st
}
