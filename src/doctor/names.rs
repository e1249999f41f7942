//! The names of this machine, of its users and of its VPN profiles, as its files contain them. It only reads.

use super::Files;

/// User ids of people. Lower ids belong to the system, and `nobody` has a higher one.
const PEOPLE: std::ops::Range<u32> = 1000..65000;

/// Folders of VPN and network profiles whose files have the profile's name.
const PROFILES: [(&str, &str); 8] = [
    ("etc/openvpn", ".conf"),
    ("etc/openvpn", ".ovpn"),
    ("etc/openvpn/client", ".conf"),
    ("etc/openvpn/client", ".ovpn"),
    ("etc/openvpn/server", ".conf"),
    ("etc/wireguard", ".conf"),
    ("etc/NetworkManager/system-connections", ".nmconnection"),
    ("run/NetworkManager/system-connections", ".nmconnection"),
];

impl Files {
    /// The login and the full name of each person.
    pub fn users(&self) -> Vec<String> {
        let text = self.read("etc/passwd");
        let text_of = text.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [login, _, uid, _, name, ..] = fields[..] else { return None };
            let is_person = uid.parse().is_ok_and(|uid| PEOPLE.contains(&uid));
            is_person.then(|| [login, name.split(',').next().unwrap_or_default()])
        });
        let known = text_of.flatten().filter(|name| !name.is_empty()).map(str::to_owned);
        // Users of a directory service are in no file, but they have a home folder.
        let homes = self.listed("home", "").into_iter();
        let homes = homes.filter_map(|path| Some(path.rsplit('/').next()?.to_owned()));
        let homes = homes.filter(|name| name != "lost+found");
        let mut all: Vec<String> = known.collect();
        all.extend(homes.filter(|home| !text.lines().any(|line| line.split(':').next() == Some(home))));
        all
    }

    /// The names of this machine, with and without its domain.
    pub fn host_names(&self) -> Vec<String> {
        let pretty = self.read("etc/machine-info");
        let pretty = pretty.lines().filter_map(|line| line.strip_prefix("PRETTY_HOSTNAME="));
        let names = [self.read("proc/sys/kernel/hostname"), self.read("etc/hostname")];
        let names = names.iter().map(|name| name.trim());
        let all = names.chain(pretty.map(|name| name.trim_matches('"')));
        let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let mut names: Vec<String> = all.flat_map(|name| [name.to_owned(), short(name)]).collect();
        names.retain(|name| !name.is_empty());
        names
    }

    /// The names of VPN and network profiles that are files.
    pub fn profiles(&self) -> Vec<String> {
        let files = PROFILES.into_iter().flat_map(|(folder, ending)| {
            let listed = self.listed(folder, ending);
            listed
                .into_iter()
                .filter_map(move |path| Some(path.rsplit('/').next()?.strip_suffix(ending)?.to_owned()))
        });
        let inside = PROFILES.into_iter().filter(|(_, ending)| *ending == ".nmconnection");
        let inside = inside.flat_map(|(folder, ending)| self.listed(folder, ending));
        let inside = inside.flat_map(|path| names_in(&self.read(&path)));
        files.chain(inside).filter(|name| !is_ordinary(name)).collect()
    }
}

/// The names in a profile of NetworkManager. They may differ from the name of the file.
fn names_in(text: &str) -> Vec<String> {
    let value = |line: &str| {
        let (key, value) = line.trim().split_once('=')?;
        ["id", "ssid"].contains(&key.trim()).then(|| value.trim().to_owned())
    };
    text.lines().filter_map(value).filter(|name| !name.is_empty()).collect()
}

/// Whether interfaces everywhere have such names: it identifies nothing, and the report needs it.
fn is_ordinary(name: &str) -> bool {
    let stem = name.trim_end_matches(|char: char| char.is_ascii_digit());
    ["wg", "tun", "tap", "eth", "wlan", "lo", "docker", "br", "virbr"].contains(&stem)
}

#[cfg(test)]
mod tests {
    use super::super::tests::files;

    #[test]
    fn names_of_people_machines_and_profiles_are_found() {
        let (_root, seen) = files(&[
            (
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000:Anna Bern,,,:/home/anna:/bin/sh\n",
            ),
            ("etc/hostname", "mars.example.net\n"),
            ("etc/machine-info", "PRETTY_HOSTNAME=\"Anna's desk\"\n"),
            ("etc/openvpn/client/work.ovpn", ""),
            ("etc/wireguard/wg0.conf", ""),
            (
                "etc/NetworkManager/system-connections/Home WLAN.nmconnection",
                "[connection]\nid=Annas Netz\n[wifi]\nssid = Bern 5\n",
            ),
            ("home/anna/x", ""),
            ("home/bert@corp/x", ""),
        ]);
        assert_eq!(seen.users(), ["anna", "Anna Bern", "bert@corp"]);
        assert_eq!(seen.host_names(), ["mars.example.net", "mars", "Anna's desk", "Anna's desk"]);
        assert_eq!(seen.profiles(), ["work", "Home WLAN", "Annas Netz", "Bern 5"]);
    }
}
