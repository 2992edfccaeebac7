package authentik

import (
	"context"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"ldapd/internal/backoff"
	"ldapd/internal/certs"
	"ldapd/internal/directory"
)

// DefaultInterval is the time between two looks for changes.
const DefaultInterval = 5 * time.Second

const (
	maxSpread = 10 * time.Second // of an update that all replicas hear of
	lookTime  = time.Minute      // bounds one look for changes

	// What is tried again is tried after a second, then twice that each time.
	// An authentik that is back should be seen soon; a load that failed is not
	// to be a burden.
	retryMin  = time.Second
	retryMax  = 5 * time.Second
	reloadMax = time.Minute
)

// ControllerOptions make a Controller.
type ControllerOptions struct {
	Client  *Client
	Version string // of ldapd, told to authentik

	// StateDir is where the snapshot is kept; empty: nowhere.
	StateDir string
	// UID is what the attribute uid of authentik's users holds: "username",
	// "uuid", or else the hash that authentik calls uid.
	UID string
	// PageSize is how many users or groups to ask for at once, 0: 100.
	// authentik may give less.
	PageSize int
	// Interval is the time between two looks for changes, 0: DefaultInterval.
	Interval time.Duration

	Log     *zap.Logger  // nil: none
	Metrics *SyncMetrics // nil: none

	// Publish gets what is to be served, whenever that changes. The list and
	// what it refers to do not change afterwards.
	Publish func([]Published)
	// Certificates gets the certificates of the providers, whenever they
	// change; nil: they are not read.
	Certificates func([]certs.Named)
	// SessionEnd gets the lower-case hex SHA-256 of the sid of a session that
	// ended, at once, whatever else is under way; it must not block. Nobody
	// tells of those that end while the websocket is down: of a user who was
	// disabled the next look does, of others Authenticator.Access does when
	// it is asked. nil: nobody wants to know.
	SessionEnd func(hash string)

	// Now, After, Spread and Rand are for tests. Spread returns how long to
	// wait after a trigger, Rand is that of backoff.Backoff.
	Now    func() time.Time
	After  func(time.Duration) <-chan time.Time
	Spread func() time.Duration
	Rand   func() float64
}

// Published is one provider and the directory it serves.
type Published struct {
	Provider Provider
	Snapshot *directory.Snapshot
	SyncedAt time.Time // when this was known to be what authentik has
	Stale    bool      // it is from disk, and authentik was not reached since
}

// settings are what authentik says of the outpost.
type settings struct {
	outpost    Outpost
	providers  []Provider
	generation string
}

// Controller keeps up to date what an outpost serves: its settings, the users
// and groups, and the certificates. Nothing that goes wrong ends it, and what
// was read before stays in use.
//
// All users are read at start, and again at the refresh interval of the
// outpost. In between each look costs one request for the users that were
// saved, one for their number, and one for each hundred groups; from five
// hundred groups on those are read at every second look only. So at the default
// interval a user that was disabled, or whose password changed, is known within
// about five seconds, and a membership within about ten.
type Controller struct {
	o      ControllerOptions
	log    *zap.Logger
	source source
	keys   keyring
	disk   string // path, empty: none

	wanted    chan struct{} // a refresh now
	triggered chan struct{} // a refresh after a while
	locals    chan struct{} // local entries changed
	local     atomic.Pointer[local]

	mu    sync.Mutex
	state State

	// What follows belongs to the goroutine of Run.
	settings *settings
	mirror   *mirror // nil: nothing was ever read
	live     bool    // mirror is not only from disk
	synced   time.Time
	horizon  horizon
	from     time.Time // changes before are known, by authentik's clock
	looks    int
	surplus  int // looks in a row that found more users than are known
	reload   bool
	doubts   map[string]time.Time
	unsaved  bool

	named     []certs.Named
	trees     trees
	published []Published
	problems  map[string]bool

	socketOf   string // id of the outpost
	stopSocket func()
}

// NewController returns a controller; call Restore, then Run.
func NewController(o ControllerOptions) *Controller {
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Metrics == nil {
		o.Metrics = NewSyncMetrics(nil)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Spread == nil {
		spread := rand.N(maxSpread) // of this process, so that replicas differ
		o.Spread = func() time.Duration { return spread }
	}
	c := &Controller{
		o: o, log: o.Log,
		source:     source{o.Client, o.Metrics.request, o.PageSize},
		keys:       keyring{client: o.Client, count: o.Metrics.request},
		wanted:     make(chan struct{}, 1),
		triggered:  make(chan struct{}, 1),
		locals:     make(chan struct{}, 1),
		doubts:     make(map[string]time.Time),
		problems:   make(map[string]bool),
		stopSocket: func() {},
	}
	if o.StateDir != "" {
		c.disk = filepath.Join(o.StateDir, SnapshotFile)
	}
	c.local.Store(&local{})
	return c
}

// Refresh makes Run read everything now.
func (c *Controller) Refresh() { poke(c.wanted) }

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default: // one is waiting already
	}
}

// Restore publishes what is on disk, as stale, and reports whether there was
// something. A file that cannot be used is ignored.
func (c *Controller) Restore() bool {
	if c.disk == "" {
		return false
	}
	s, err := restore(c.disk, c.host())
	if err != nil {
		if !absent(err) {
			c.log.Warn("snapshot on disk ignored", zap.String("file", c.disk), zap.Error(err))
		}
		return false
	}
	c.settings, c.mirror, c.synced = &s.settings, s.mirror, s.synced
	c.publish()
	c.log.Info("serving the snapshot on disk until authentik answers",
		zap.Time("synced", s.synced), zap.Int("users", len(s.mirror.users)), zap.Int("groups", len(s.mirror.groups)))
	return len(c.published) > 0
}

// host says on disk whose the data is.
func (c *Controller) host() string {
	u := url.URL{Scheme: c.o.Client.base.Scheme, Host: c.o.Client.base.Host, Path: c.o.Client.base.Path}
	return u.String()
}

// Run keeps everything up to date until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer func() {
		c.unsaved = c.unsaved || c.live // at least the time is newer
		c.keep()
	}()
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	instance := uuid.NewString()
	var running <-chan progress // nil: no refresh
	var next, look, spread <-chan time.Time
	again := false
	begin := func() {
		if again = running != nil; !again {
			running, next = c.refresh(ctx, &wg), nil
		}
	}
	begin()
	failing, retry := false, backoff.Backoff{First: retryMin, Rand: c.o.Rand}
	later := func(last time.Duration) {
		failing, retry.Last = true, last
		next = c.o.After(retry.Next())
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wanted:
			begin()
		case <-c.triggered:
			if spread == nil { // of a burst, the first one counts
				spread = c.o.After(c.o.Spread())
			}
		case <-spread:
			spread = nil
			begin()
		case <-next:
			begin()
		case <-c.locals:
			c.publish()
		case <-look:
			c.look(ctx)
			look = c.o.After(c.o.Interval)
			if c.reload && !failing && running == nil {
				begin()
			}
		case p, ok := <-running:
			switch {
			case !ok:
				running = nil
				if again {
					begin()
				}
			case p.err != nil:
				c.failed("full", p.err)
				limit := retryMax
				if p.settingsRead {
					limit = reloadMax
				}
				later(limit)
			case p.settings != nil:
				c.apply(ctx, &wg, p.settings, instance)
				c.certify(p)
			default:
				if err := c.adopt(ctx, p.loaded); err != nil {
					c.failed("full", err)
					later(reloadMax)
					break
				}
				failing = false
				retry.Reset()
				next = c.o.After(c.settings.outpost.RefreshInterval())
				look = nil
				if !c.horizon.at.IsZero() {
					look = c.o.After(c.o.Interval)
				}
			}
		}
	}
}

// apply takes over settings, and sees to the websocket.
func (c *Controller) apply(ctx context.Context, wg *sync.WaitGroup, s *settings, instance string) {
	c.unsaved = c.unsaved || c.settings == nil || !reflect.DeepEqual(c.settings.providers, s.providers)
	c.settings = s
	c.mu.Lock()
	c.state.Outpost, c.state.Providers, c.state.Generation = s.outpost, s.providers, s.generation
	c.mu.Unlock()
	c.publish()
	if s.outpost.PK == c.socketOf {
		return
	}
	c.stopSocket()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	c.socketOf = s.outpost.PK
	c.stopSocket = func() {
		cancel()
		<-ended
	}
	ws := &socket{
		client: c.o.Client, outpost: s.outpost.PK, instance: instance, version: c.o.Version,
		after: c.o.After, rand: c.o.Rand, log: c.log,
		update:     func() { poke(c.triggered) },
		sessionEnd: c.sessionEnded,
		connected:  c.connected,
	}
	wg.Go(func() {
		defer close(ended)
		ws.run(ctx)
	})
}

func (c *Controller) sessionEnded(hash string) {
	c.o.Metrics.sessionEnds.Inc()
	c.log.Debug("a session ended", zap.String("session", hash))
	if c.o.SessionEnd != nil {
		c.o.SessionEnd(hash)
	}
}

func (c *Controller) connected(yes bool) {
	c.o.Metrics.connected(yes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Connected = yes
}

// certify passes certificates on that are not those before.
func (c *Controller) certify(p progress) {
	if p.certErr != nil {
		c.o.Metrics.failed("certificate")
		c.log.Error("certificate not updated", zap.Error(p.certErr))
	}
	if c.o.Certificates != nil && !sameNamed(c.named, p.named) {
		c.named = p.named
		c.o.Certificates(p.named)
	}
}

func sameNamed(a, b []certs.Named) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// keep writes to disk what is not there yet.
func (c *Controller) keep() {
	if c.disk == "" || !c.unsaved || c.mirror == nil || c.settings == nil {
		return
	}
	start := c.o.Now()
	err := save(c.disk, &saved{host: c.host(), synced: c.synced, settings: *c.settings, mirror: c.mirror})
	if err != nil {
		c.o.Metrics.failed("disk")
		c.log.Error("snapshot not written to disk", zap.String("file", c.disk), zap.Error(err))
		return
	}
	c.unsaved = false
	c.log.Debug("snapshot written to disk", zap.String("file", c.disk), zap.Duration("took", c.o.Now().Sub(start)))
}
