package egress

import "net/netip"

// hidden are the networks that no caller may reach through the gateway although
// they are not private by their looks. Sources: IANA's registries of special
// addresses, and what clouds answer to their own machines at.
var hidden = func() (out []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8",        // this network
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // carriers' NAT; metadata of Alibaba
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // Azure's own server
		"169.254.0.0/16",   // link-local; metadata of most clouds
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocols; metadata of Oracle
		"192.0.2.0/24",     // documentation
		"192.88.99.0/24",   // 6to4 relays
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarks
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, and broadcast

		"2001::/23",     // protocols, Teredo among them, which holds addresses of IPv4
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4, which does so too
		"3fff::/20",     // documentation
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// global is all of IPv6 that is given out to networks. Outside of it are
// loopback, unique local and link-local addresses, multicast, metadata, and
// NAT64.
var global = netip.MustParsePrefix("2000::/3")

// Public reports whether an address is one of the public Internet.
func Public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if a.Is6() && !global.Contains(a) {
		return false
	}
	for _, p := range hidden {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
