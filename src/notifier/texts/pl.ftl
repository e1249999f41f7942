# Zdania dla użytkownika. $name to nazwa VPN, $program to nazwa programu.

lost-title = Utracono VPN: { $name }
lost-body = Nic nie opuszcza tego komputera bez ochrony. Internet zacznie działać, gdy VPN wróci.
lost-since = Utracono o { $at }.
waiting = { $count ->
    [one] Czeka na niego jeden kontener.
    [few] Czekają na niego { $count } kontenery.
   *[many] Czeka na niego { $count } kontenerów.
}
reconnecting-title = Ponowne łączenie: { $name }
still-closed = Nic nie opuszcza tego komputera bez ochrony.
wires-open = W tym systemie nie są zatrzymywane kontenery w macvlan lub ipvlan ani programy wysyłające surowe pakiety.
flapping-title = Niestabilny VPN: { $name }
flapping-body = { $count ->
    [one] W ciągu minuty utracono go raz.
    [few] W ciągu minuty utracono go { $count } razy.
   *[many] W ciągu minuty utracono go { $count } razy.
}
back-title = Komputer znów jest chroniony
back-body = Wszystko znów przechodzi przez { $name }.
steady-title = VPN jest znów stabilny
steady-body = Połączenie z { $name } trwa od minuty.

paused-title = Ochrona jest wyłączona do { $until }
paused-body = { $minutes ->
    [one] Przez minutę wszystko opuszcza ten komputer bez VPN.
    [few] Przez { $minutes } minuty wszystko opuszcza ten komputer bez VPN.
   *[many] Przez { $minutes } minut wszystko opuszcza ten komputer bez VPN.
}
portal-title = Otwarte do { $until } na potrzeby logowania
portal-body = Zapytania o strony internetowe i nazwy opuszczają ten komputer bez VPN. Skończy się to po połączeniu z VPN.
portal-found-title = Ta sieć wymaga zalogowania się
portal-found-body = Wcześniej połączenie z VPN może się nie udać. Aby się zalogować, można otworzyć strony internetowe i nazwy na 10 minut: opuszczają one ten komputer bez VPN. Wymaga to hasła administratora.
resumed-title = Ochrona jest znów włączona
resumed-protected = Wszystko przechodzi przez VPN.
resumed-locked = Nic nie opuści tego komputera do czasu połączenia z VPN.

failed-title = Ten komputer nie jest chroniony
failed-body = Nie udało się włączyć ochrony: coś może opuszczać ten komputer poza VPN.
failed-retry = tunwarden ponawia próby. Do tego czasu najlepiej rozłączyć się z siecią.
closed-title = Ten komputer jest zablokowany, ale zamierzona ochrona zawiodła
closed-body = Nie udało się włączyć zamierzonej ochrony, dlatego obowiązują inne reguły. VPN może nie działać. tunwarden ponawia próby.
unread-title = Nie wiadomo, czy ten komputer jest chroniony
unread-body = tunwarden nie może sprawdzić ochrony: coś może opuszczać ten komputer poza VPN.
in-force-title = Ochrona znów działa
in-force-body = Nic nie opuszcza tego komputera poza VPN.

repaired-title = Ochrona została uszkodzona i naprawiona
repaired-body = { $count ->
    [one] Program na tym komputerze usunął część ochrony. tunwarden natychmiast ją przywrócił.
    [few] Program na tym komputerze usunął część ochrony { $count } razy. tunwarden za każdym razem ją przywrócił.
   *[many] Program na tym komputerze usunął część ochrony { $count } razy. tunwarden za każdym razem ją przywrócił.
}
repaired-by-body = { $count ->
    [one] { $program } usunął część ochrony. tunwarden natychmiast ją przywrócił.
    [few] { $program } usunął część ochrony { $count } razy. tunwarden za każdym razem ją przywrócił.
   *[many] { $program } usunął część ochrony { $count } razy. tunwarden za każdym razem ją przywrócił.
}
fight-title = Program wciąż usuwa ochronę
fight-by-title = { $program } wciąż usuwa ochronę
fight-body = { $count ->
    [one] W ciągu minuty tunwarden przywrócił ją raz. Dwa programy nie mogą jednocześnie decydować o tym, co opuszcza ten komputer: należy wyłączyć ten drugi.
    [few] W ciągu minuty tunwarden przywrócił ją { $count } razy. Dwa programy nie mogą jednocześnie decydować o tym, co opuszcza ten komputer: należy wyłączyć ten drugi.
   *[many] W ciągu minuty tunwarden przywrócił ją { $count } razy. Dwa programy nie mogą jednocześnie decydować o tym, co opuszcza ten komputer: należy wyłączyć ten drugi.
}

gone-title = tunwarden nie działa
gone-body = VPN nie jest monitorowany, a ochrona nie jest sprawdzana.
gone-hint = Administrator może go uruchomić: sudo systemctl start tunwarden
returned-title = tunwarden znów działa
returned-body = Ponownie monitoruje VPN.

welcome-title = Ten komputer jest zablokowany do czasu połączenia z VPN
welcome-body = tunwarden jest zainstalowany: nic nie opuszcza tego komputera poza VPN.
welcome-connect = Po połączeniu z VPN internet znów będzie działać.
welcome-no-vpn = Nie znaleziono jeszcze żadnego VPN: należy dodać go w ustawieniach sieci lub uruchomić program VPN.
welcome-not-counting = Żaden VPN na tym komputerze nie jest uwzględniany. Aby sprawdzić przyczynę, w terminalu: tunwarden status
welcome-pause = Aby otworzyć wszystko na chwilę: wstrzymanie w menu tarczy na panelu.
welcome-init = Aby dostosować ochronę do tego komputera, w terminalu: sudo tunwarden init
welcome-leave = Aby usunąć ten program: sudo apt remove tunwarden

uncounted-title = Nic nie przechodzi przez { $name }
uncounted-body = Cały ruch trafia do { $name }, ale nie jest to uwzględniane jako VPN.
missed-title = Podczas nieobecności utracono VPN
missed-body = { $name }: utracono o { $at }, połączenie już wróciło.
missed-closed = W tym czasie nic nie opuściło tego komputera bez ochrony.
missed-open = W tym czasie ochrona była wyłączona, uszkodzona lub nie dało się jej sprawdzić: coś mogło opuścić ten komputer bez ochrony.

refused-title = Żądanie nie zostało wykonane
refused-reconnect = Nie udało się połączyć z VPN.
refused-pause = Ochrona nie została wstrzymana.
refused-resume = Ochrona nie została wznowiona.
refused-blocked = Nie wiadomo, co zostało odrzucone.
refused-journal = Dziennik nie został otwarty.
refused-check = Sprawdzenie nie zostało wykonane.
refused-why = Powód: { $why }
not-allowed = Wymaga to hasła administratora.
not-running = tunwarden nie działa.
no-pkexec = pkexec nie jest zainstalowany. W terminalu: sudo tunwarden prove
no-home = Brak katalogu domowego na raport.
check-old = Ochrona zmieniła się podczas sprawdzania: należy sprawdzić ponownie.
no-network-manager = NetworkManager nie działa.
no-profile = NetworkManager nie ma takiego VPN dla tego użytkownika.
no-password = NetworkManager nie ma hasła do niego lub jest ono błędne.
no-answer = Jego serwer nie odpowiedział w porę.
connect-ended = NetworkManager zakończył połączenie. Aby sprawdzić przyczynę, w terminalu: journalctl -u NetworkManager
no-terminal = Nie znaleziono programu terminala. Można spróbować: tunwarden log

detail-title = Szczegóły ochrony
detail-state = Stan: { $state }
detail-since = Od: { $at }
detail-tunnel = VPN: { $name }, przez { $interface }
detail-server = Serwer: { $server }
detail-repairs = { $count ->
    [one] Naprawiono raz od uruchomienia tunwarden.
    [few] Naprawiono { $count } razy od uruchomienia tunwarden.
   *[many] Naprawiono { $count } razy od uruchomienia tunwarden.
}
detail-why = tunwarden zgłasza: { $why }
detail-hint = Wszystkie szczegóły w terminalu: tunwarden status
no-tunnel = Brak VPN

state-protected = Chroniony
state-connecting = Łączenie
state-locked = Zablokowany, brak VPN
state-lost = Utracono VPN
state-failed = Niechroniony
state-paused = Ochrona wyłączona
state-closed = Zablokowany innymi regułami
state-unread = Nieznany: nie można sprawdzić ochrony
state-unknown = Nieznany: tunwarden nie odpowiada
since = od { $at }
until = do { $until }
left = { $minutes ->
    [one] pozostała minuta
    [few] pozostały { $minutes } minuty
   *[many] pozostało { $minutes } minut
}
tunnel = VPN: { $name } ({ $interface })

blocked = Odrzucone
blocked-title = Odrzucone w ciągu ostatniej godziny
blocked-line = { $destination }, { $count ->
    [one] raz
    [few] { $count } razy
   *[many] { $count } razy
}: { $why }
blocked-by = { $who } do { $destination }, { $count ->
    [one] raz
    [few] { $count } razy
   *[many] { $count } razy
}: { $why }
blocked-nothing = Nic z programów tego użytkownika nie zostało odrzucone.
blocked-hint = Więcej w terminalu: tunwarden blocked
blocked-unknown = z innego powodu
blocked-no-vpn = brak VPN
blocked-vpn-lost = utracono VPN
blocked-not-through-tunnel = niedozwolone w tunelu VPN
blocked-container-not-through-tunnel = niedozwolone w tunelu VPN dla kontenerów
blocked-dns-outside-tunnel = nazwa, poza VPN
blocked-not-on-link = spoza sieci lokalnej
blocked-lan-off = sieć lokalna jest wyłączona
blocked-multicast = grupa w sieci lokalnej
blocked-not-vpn-client = tylko dla programu VPN
blocked-unknown-server = nieznany serwer VPN
blocked-container-policy = niedozwolone dla tego kontenera
blocked-published-ports = port nie jest udostępniony
blocked-inbound = z zewnątrz
blocked-raw-frame = z pominięciem reguł systemu
blocked-paused-portal = wstrzymanie służy tylko do logowania

reconnect = Połącz ponownie
connect = Połącz z { $name }
details = Szczegóły
pause = { $minutes ->
    [one] Wstrzymaj na minutę
    [few] Wstrzymaj na { $minutes } minuty
   *[many] Wstrzymaj na { $minutes } minut
}
pause-portal = Wstrzymaj, aby zalogować się w tej sieci
pause-portal-short = Pauza na logowanie
journal = Otwórz dziennik
resume = Wznów
check = Sprawdź ten komputer
check-proven = Sprawdzono: żaden pakiet nie opuszcza tego komputera bez ochrony
check-open = Sprawdzono: pakiety mogą opuścić ten komputer bez ochrony
check-not-shown = Sprawdzono: nie wiadomo, czy pakiety opuszczają ten komputer bez ochrony
check-report = Raport: { $file }
check-hint = Aby wysłać także pakiety testowe, w terminalu: sudo tunwarden prove --live

reason-link-gone = Jego połączenie nieoczekiwanie się zakończyło.
reason-link-down = Jego połączenie zostało wyłączone.
reason-no-address = Jego połączenie istnieje, ale nie nadaje się już do użytku.
reason-no-route = Inna trasa kieruje dane poza VPN.
reason-client-restarts = Jego serwer już nie odpowiada.
reason-client-ended = Program VPN zakończył działanie.
reason-device-gone = Sieć, z której korzystał, zniknęła.
reason-service-stopped = Program VPN został zatrzymany.
reason-ended = Zakończył się bez żądania.
reason-silent-server = Jego serwer już nie odpowiada.
reason-management-restarts = Utracił swój serwer i szuka go ponownie.
reason-management-ends = Program VPN kończy działanie bez żądania.
reason-management-closed = Program VPN nie zgłasza już swojego stanu.
reason-restarted = Łączy się ponownie.

## Okno ustawień, pakiet tunwarden-settings. Litera po _ to klawisz z Alt. Każdy tekst to jedna linia.

window-tab-state = _Stan
window-tab-settings = _Ustawienia
window-tab-blocked = Zablo_kowane
window-verdict-protected = Programy łączą się z internetem tylko przez VPN.
window-verdict-locked = Nic nie trafia do internetu, dopóki VPN nie jest połączony.
window-verdict-open = Programy mogą łączyć się z internetem poza VPN.
window-verdict-unknown = Nie wiadomo, co opuszcza ten komputer.
window-report = Pokaż raport
window-wait = Proszę czekać …
window-lan = Dostęp do sieci _lokalnej
window-lan-about = Drukarki, serwery plików i inne urządzenia. Nazwy stron nigdy nie są tam sprawdzane.
window-published = Otwarcie portów kontenerów dla s_ieci lokalnej
window-published-about = W przeciwnym razie tylko ten komputer ma dostęp do portów publikowanych przez kontenery.
window-input = Porty, które mogą otwierać inni
window-input-about = Odpowiedzi zawsze przychodzą. Bez wpisu żadne inne urządzenie nie połączy się z programem tego komputera.
window-rule = { $protocol } { $ports } z { $from }
window-rule-any = { $protocol } { $ports } z każdego adresu
window-rule-tunnel = { $what }, przez VPN
window-protocol = P_rotokół
window-port = _Port
window-from = _Z sieci
window-from-hint = 192.168.0.0/16; puste: każdy adres
window-add = _Dodaj
window-remove = Usuń { $what }
window-vpns = VPN-y, które się liczą
window-vpns-all = Każdy VP_N tego komputera
window-vpns-about = Inni użytkownicy tego komputera też mogą utworzyć VPN. Aby ufać tylko swojemu, wybierz go tutaj.
window-vpns-chosen = _Tylko te:
window-reconnect = _Gdy VPN zostanie utracony
window-reconnect-ask = zapytaj mnie
window-reconnect-auto = połącz ponownie
window-reconnect-never = nic nie rób
window-opens = To otwiera: { $what }
window-opens-lan = sieć lokalną, dla tego komputera
window-opens-published = porty kontenerów, dla sieci lokalnej
window-opens-vpns = tunele i serwery kolejnych VPN-ów
window-apply = Z_astosuj
window-undo = _Cofnij
window-applied = Ustawienia obowiązują.
window-saved = Ustawienia są zapisane. Zaczną obowiązywać po uruchomieniu tunwarden.
window-changed = Plik zawiera teraz inne ustawienia. Niczego nie zmieniono. Wybierz ponownie.
window-refused = Ustawienia nie obowiązują.
window-unread = Nie można odczytać ustawień.
window-wrong-port = Podaj port od 1 do 65535 albo zakres, na przykład 6000-6007.
window-wrong-from = Podaj sieć, na przykład 192.168.0.0/16.
window-wrong-vpns = Wybierz co najmniej jeden VPN.
window-who = Program
window-where = Cel
window-count = Ile razy
window-why = Powód
window-own = jeden z Twoich programów
window-refresh = _Odśwież

## Teksty plików pakietu: menu, polkit, menedżer oprogramowania i instalacja.

file-menu-generic = Wyłącznik bezpieczeństwa VPN
file-menu-comment = Pokazuje, czy ten komputer jest chroniony
file-menu-keywords = VPN;zapora sieciowa;wyłącznik bezpieczeństwa;prywatność;wyciek;
file-autostart-comment = Powiadamia o utracie VPN i pokazuje, czy ten komputer jest chroniony
file-pause-description = Otwarcie zapory sieciowej na ograniczony czas
file-pause-message = Wymagane jest uwierzytelnienie, aby zezwolić na ruch poza VPN
file-reconnect-description = Ponowne połączenie z VPN
file-reconnect-message = Wymagane jest uwierzytelnienie, aby ponownie połączyć się z VPN
file-blocked-description = Wyświetlenie tego, co odrzucono innym użytkownikom i kontenerom
file-blocked-message = Wymagane jest uwierzytelnienie, aby zobaczyć, z czym próbowali się połączyć inni użytkownicy i kontenery
file-prove-description = Sprawdzenie, czy pakiety wychodzą poza VPN
file-prove-message = Wymagane jest uwierzytelnienie, aby odczytać reguły zapory sieciowej
file-settings-name = Ustawienia tunwarden
file-settings-comment = Pokazuje i zmienia ustawienia wyłącznika bezpieczeństwa VPN
file-settings-keywords = VPN;zapora sieciowa;wyłącznik bezpieczeństwa;ustawienia;sieć lokalna;
file-set-description = Zmiana ustawień programu tunwarden
file-set-message = Wymagane jest uwierzytelnienie, aby zmienić to, co może opuścić ten komputer
file-about-summary = Wyłącznik bezpieczeństwa VPN dla tego komputera i jego kontenerów
file-about-1 = tunwarden utrzymuje zaporę sieciową, która nie przepuszcza niczego poza VPN: żadnego programu z tego komputera, żadnego kontenera Dockera i żadnej maszyny wirtualnej, z IPv4 i IPv6. Tylko program VPN może łączyć się ze swoimi serwerami.
file-about-2 = Wskaźnik na panelu pokazuje stan. Powiadomienie informuje o utracie VPN i jednym kliknięciem łączy z nim ponownie.
file-about-3 = Instalacja od razu blokuje ten komputer: do czasu połączenia z VPN nie otworzy się żadna strona. Usunięcie pakietu przywraca sieć.
file-installed-locked = tunwarden: ten komputer jest zablokowany: nic nie wychodzi poza VPN. Połączony VPN pozostaje połączony.
file-installed-wires = tunwarden: ten komputer jest zablokowany, z wyjątkiem kontenerów w macvlan lub ipvlan i programów wysyłających surowe pakiety. Połączony VPN pozostaje połączony.
file-installed-disabled = tunwarden: niezablokowany, ponieważ jego jednostki są wyłączone: sudo systemctl enable --now tunwarden-lock tunwarden
file-installed-failed = tunwarden: NIEZABLOKOWANY. Aby sprawdzić przyczynę: journalctl -u tunwarden-lock.service -u tunwarden.service
file-installed-show = pokaż stan:
file-installed-pause = otwórz na pięć minut:
file-installed-remove = usuń na stałe:
