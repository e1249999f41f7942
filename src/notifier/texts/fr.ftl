# Phrases destinées à l'utilisateur. $name est le nom d'un VPN, $program celui d'un programme.

lost-title = VPN perdu : { $name }
lost-body = Rien ne quitte cet ordinateur sans protection. Internet fonctionnera de nouveau dès que le VPN sera rétabli.
lost-since = Perdu à { $at }.
waiting = { $count ->
    [one] Un conteneur l'attend.
   *[other] { $count } conteneurs l'attendent.
}
reconnecting-title = Reconnexion : { $name }
still-closed = Rien ne quitte cet ordinateur sans protection.
wires-open = Non arrêtés sur ce système : les conteneurs en macvlan ou ipvlan, et les programmes qui envoient des paquets bruts.
flapping-title = VPN instable : { $name }
flapping-body = Il a été perdu { $count } fois en une minute.
back-title = De nouveau protégé
back-body = Tout passe de nouveau par { $name }.
steady-title = VPN de nouveau stable
steady-body = { $name } est connecté depuis une minute.

paused-title = La protection est désactivée jusqu'à { $until }
paused-body = { $minutes ->
    [one] Pendant une minute, tout quitte cet ordinateur sans passer par le VPN.
   *[other] Pendant { $minutes } minutes, tout quitte cet ordinateur sans passer par le VPN.
}
portal-title = Ouvert pour l'identification jusqu'à { $until }
portal-body = Les requêtes de pages web et de noms quittent cet ordinateur sans passer par le VPN. Cela prend fin dès que le VPN est connecté.
portal-found-title = Ce réseau demande de s'identifier
portal-found-body = Avant cela, le VPN ne pourra peut-être pas se connecter. Pour vous identifier, vous pouvez ouvrir les pages web et les noms pendant 10 minutes : ils quittent cet ordinateur sans passer par le VPN. Le mot de passe d'un administrateur est nécessaire.
resumed-title = La protection est réactivée
resumed-protected = Tout passe par le VPN.
resumed-locked = Rien ne quitte cet ordinateur tant que le VPN n'est pas connecté.

failed-title = Cet ordinateur n'est pas protégé
failed-body = La protection n'a pas pu être mise en place : des données peuvent quitter cet ordinateur en dehors du VPN.
failed-retry = tunwarden continue d'essayer. D'ici là, il est préférable de se déconnecter du réseau.
closed-title = Cet ordinateur est verrouillé, mais la protection prévue a échoué
closed-body = La protection prévue n'a pas pu être mise en place, d'autres règles s'appliquent donc. Le VPN peut ne pas fonctionner. tunwarden continue d'essayer.
unread-title = Impossible de savoir si cet ordinateur est protégé
unread-body = tunwarden ne peut pas vérifier la protection : des données peuvent quitter cet ordinateur en dehors du VPN.
in-force-title = La protection est de nouveau en place
in-force-body = Rien ne quitte cet ordinateur en dehors du VPN.

repaired-title = La protection a été endommagée, puis réparée
repaired-body = { $count ->
    [one] Un programme de cet ordinateur a supprimé une partie de la protection. tunwarden l'a rétablie immédiatement.
   *[other] Un programme de cet ordinateur a supprimé { $count } fois une partie de la protection. tunwarden l'a rétablie à chaque fois.
}
repaired-by-body = { $count ->
    [one] { $program } a supprimé une partie de la protection. tunwarden l'a rétablie immédiatement.
   *[other] { $program } a supprimé { $count } fois une partie de la protection. tunwarden l'a rétablie à chaque fois.
}
fight-title = Un programme supprime sans cesse la protection
fight-by-title = { $program } supprime sans cesse la protection
fight-body = tunwarden l'a rétablie { $count } fois en une minute. Deux programmes ne peuvent pas décider tous deux de ce qui quitte cet ordinateur : désactivez l'autre.

gone-title = tunwarden n'est pas en cours d'exécution
gone-body = Le VPN n'est pas surveillé et la protection n'est pas vérifiée.
gone-hint = Un administrateur peut le démarrer : sudo systemctl start tunwarden
returned-title = tunwarden est de nouveau en cours d'exécution
returned-body = Il surveille de nouveau le VPN.

welcome-title = Cet ordinateur est verrouillé jusqu'à la connexion d'un VPN
welcome-body = tunwarden est installé : rien ne quitte cet ordinateur en dehors d'un VPN.
welcome-connect = Connectez votre VPN et Internet fonctionnera de nouveau.
welcome-no-vpn = Aucun VPN n'est encore connu ici : ajoutez-en un dans les paramètres réseau ou démarrez votre programme VPN.
welcome-not-counting = Aucun des VPN de cet ordinateur n'est pris en compte. Pour savoir pourquoi, dans un terminal : tunwarden status
welcome-pause = Pour tout ouvrir un moment : la pause, dans le menu du bouclier sur le tableau de bord.
welcome-init = Pour adapter la protection à cet ordinateur, dans un terminal : sudo tunwarden init
welcome-leave = Pour désinstaller tunwarden : sudo apt remove tunwarden

uncounted-title = Rien ne passe par { $name }
uncounted-body = Tout le trafic va dans { $name }, qui n'est pas pris en compte comme votre VPN.
missed-title = Le VPN a été perdu pendant votre absence
missed-body = { $name } a été perdu à { $at }, puis rétabli.
missed-closed = Pendant ce temps, rien n'a quitté cet ordinateur sans protection.
missed-open = Pendant ce temps, la protection était désactivée, endommagée ou impossible à vérifier : des données ont pu quitter cet ordinateur sans protection.

refused-title = La demande n'a pas été exécutée
refused-reconnect = Le VPN n'a pas pu être connecté.
refused-pause = La pause n'a pas commencé.
refused-resume = La pause n'a pas pris fin.
refused-blocked = Impossible de savoir ce qui a été bloqué.
refused-journal = Le journal n'a pas été ouvert.
refused-check = La vérification n'a pas été faite.
refused-why = Raison : { $why }
not-allowed = Le mot de passe d'un administrateur est nécessaire.
not-running = tunwarden n'est pas en cours d'exécution.
no-pkexec = pkexec n'est pas installé. Dans un terminal : sudo tunwarden prove
no-home = Vous n'avez pas de dossier personnel pour le rapport.
check-old = La protection a changé pendant la vérification : vérifiez de nouveau.
no-network-manager = NetworkManager n'est pas en cours d'exécution.
no-profile = NetworkManager n'a pas de tel VPN pour vous.
no-password = NetworkManager n'a pas de mot de passe pour ce VPN, ou il est faux.
no-answer = Son serveur n'a pas répondu à temps.
connect-ended = NetworkManager a mis fin à la connexion. Pour savoir pourquoi, dans un terminal : journalctl -u NetworkManager
no-terminal = Aucun programme de terminal n'a été trouvé. Essayez : tunwarden log

detail-title = Détails de la protection
detail-state = État : { $state }
detail-since = Depuis : { $at }
detail-tunnel = VPN : { $name }, par { $interface }
detail-server = Son serveur : { $server }
detail-repairs = { $count ->
    [one] Réparée une fois depuis le démarrage de tunwarden.
   *[other] Réparée { $count } fois depuis le démarrage de tunwarden.
}
detail-why = tunwarden signale : { $why }
detail-hint = Pour voir tous les détails dans un terminal : tunwarden status
no-tunnel = Aucun VPN

state-protected = Protégé
state-connecting = Connexion en cours
state-locked = Verrouillé, aucun VPN
state-lost = VPN perdu
state-failed = Non protégé
state-paused = Protection désactivée
state-closed = Verrouillé par d'autres règles
state-unread = Inconnu : impossible de vérifier la protection
state-unknown = Inconnu : tunwarden ne répond pas
since = depuis { $at }
until = jusqu'à { $until }
left = { $minutes ->
    [one] encore une minute
   *[other] encore { $minutes } minutes
}
tunnel = VPN : { $name } ({ $interface })

blocked = Bloqué
blocked-title = Bloqué au cours de la dernière heure
blocked-line = { $destination }, { $count ->
    [one] une fois
   *[other] { $count } fois
} : { $why }
blocked-by = { $who } vers { $destination }, { $count ->
    [one] une fois
   *[other] { $count } fois
} : { $why }
blocked-nothing = Aucun de vos programmes n'a été bloqué.
blocked-hint = Pour en voir plus dans un terminal : tunwarden blocked
blocked-unknown = pour une autre raison
blocked-no-vpn = aucun VPN
blocked-vpn-lost = le VPN est perdu
blocked-not-through-tunnel = non autorisé à travers le VPN
blocked-container-not-through-tunnel = non autorisé à travers le VPN pour les conteneurs
blocked-dns-outside-tunnel = un nom, en dehors du VPN
blocked-not-on-link = hors du réseau local
blocked-lan-off = le réseau local est désactivé
blocked-multicast = un groupe du réseau local
blocked-not-vpn-client = réservé au programme VPN
blocked-unknown-server = serveur VPN inconnu
blocked-container-policy = non autorisé pour ce conteneur
blocked-published-ports = port non publié
blocked-inbound = depuis l'extérieur
blocked-raw-frame = en contournant les règles du système
blocked-paused-portal = la pause ne sert qu'à s'identifier

reconnect = Reconnecter
connect = Connecter { $name }
details = Détails
pause = Suspendre { $minutes } minutes
pause-portal = Suspendre pour s'identifier sur ce réseau
pause-portal-short = Pause pour s'identifier
journal = Ouvrir le journal
resume = Réactiver
check = Vérifier cet ordinateur
check-proven = Vérifié : aucun paquet ne quitte cet ordinateur sans protection
check-open = Vérifié : des paquets peuvent quitter cet ordinateur sans protection
check-not-shown = Vérifié : on ne sait pas si des paquets quittent cet ordinateur sans protection
check-report = Le rapport : { $file }
check-hint = Pour envoyer aussi des paquets de test, dans un terminal : sudo tunwarden prove --live

reason-link-gone = Sa connexion s'est interrompue de façon inattendue.
reason-link-down = Sa connexion a été désactivée.
reason-no-address = Sa connexion existe, mais n'est plus utilisable.
reason-no-route = Une autre route fait passer vos données en dehors du VPN.
reason-client-restarts = Son serveur ne répond plus.
reason-client-ended = Le programme VPN s'est arrêté.
reason-device-gone = Le réseau qu'il utilisait a disparu.
reason-service-stopped = Le programme VPN a été arrêté.
reason-ended = Il s'est arrêté sans qu'on le lui demande.
reason-silent-server = Son serveur ne répond plus.
reason-management-restarts = Il a perdu son serveur et le cherche de nouveau.
reason-management-ends = Le programme VPN s'arrête sans qu'on le lui demande.
reason-management-closed = Le programme VPN ne signale plus son état.
reason-restarted = Il est en train de se reconnecter.

## La fenêtre des paramètres, le paquet tunwarden-settings. La lettre après _ est sa touche avec Alt. Chaque texte tient sur une ligne.

window-tab-state = É_tat
window-tab-settings = _Paramètres
window-tab-blocked = _Bloqué
window-verdict-protected = Les programmes n'atteignent Internet que par le VPN.
window-verdict-locked = Rien ne va vers Internet tant qu'aucun VPN n'est connecté.
window-verdict-open = Des programmes peuvent atteindre Internet en dehors du VPN.
window-verdict-unknown = On ne sait pas ce qui sort de cet ordinateur.
window-report = Afficher le rapport
window-wait = Veuillez patienter …
window-lan = Atteindre le réseau _local
window-lan-about = Imprimantes, serveurs de fichiers et autres machines. Les noms des pages web n'y sont jamais demandés.
window-published = Ouvrir les ports des _conteneurs au réseau local
window-published-about = Sinon, seul cet ordinateur atteint les ports que les conteneurs publient.
window-input = Ports que d'autres peuvent ouvrir
window-input-about = Les réponses entrent toujours. Sans entrée, aucune autre machine ne peut se connecter à un programme de cet ordinateur.
window-rule = { $protocol } { $ports } depuis { $from }
window-rule-any = { $protocol } { $ports } depuis toute adresse
window-rule-tunnel = { $what }, par le VPN
window-protocol = P_rotocole
window-port = P_ort
window-from = _Depuis le réseau
window-from-hint = 192.168.0.0/16 ; vide : toute adresse
window-add = A_jouter
window-remove = Supprimer { $what }
window-vpns = VPN qui comptent
window-vpns-all = Tous les _VPN de cet ordinateur
window-vpns-about = D'autres utilisateurs de cet ordinateur peuvent aussi créer un VPN. Pour ne faire confiance qu'au vôtre, choisissez-le ici.
window-vpns-chosen = Seulement ceu_x-ci :
window-reconnect = _Quand le VPN est perdu
window-reconnect-ask = me demander
window-reconnect-auto = le reconnecter
window-reconnect-never = ne rien faire
window-opens = Cela ouvre : { $what }
window-opens-lan = le réseau local, pour cet ordinateur
window-opens-published = les ports des conteneurs, pour le réseau local
window-opens-vpns = les tunnels et les serveurs de VPN supplémentaires
window-apply = _Appliquer
window-undo = A_nnuler
window-applied = Les paramètres sont en vigueur.
window-saved = Les paramètres sont enregistrés. Ils seront en vigueur au démarrage de tunwarden.
window-changed = Le fichier contient maintenant d'autres paramètres. Rien n'a été modifié. Veuillez choisir de nouveau.
window-refused = Les paramètres ne sont pas en vigueur.
window-unread = Les paramètres ne peuvent pas être lus.
window-wrong-port = Indiquez un port de 1 à 65535, ou une plage comme 6000-6007.
window-wrong-from = Indiquez un réseau, par exemple 192.168.0.0/16.
window-wrong-vpns = Choisissez au moins un VPN.
window-who = Programme
window-where = Destination
window-count = Nombre de fois
window-why = Raison
window-own = un de vos programmes
window-refresh = Act_ualiser

## Textes des fichiers du paquet : le menu, polkit, la logithèque et l'installation.

file-menu-generic = Coupe-circuit VPN
file-menu-comment = Indique si cet ordinateur est protégé
file-menu-keywords = VPN;pare-feu;coupe-circuit;vie privée;fuite;
file-autostart-comment = Avertit quand le VPN est perdu et indique si cet ordinateur est protégé
file-pause-description = Ouvrir le pare-feu pour une durée limitée
file-pause-message = Il est nécessaire de s'authentifier pour autoriser le trafic en dehors du VPN
file-reconnect-description = Reconnecter le VPN
file-reconnect-message = Il est nécessaire de s'authentifier pour reconnecter le VPN
file-blocked-description = Voir ce qui a été refusé à d'autres utilisateurs et aux conteneurs
file-blocked-message = Il est nécessaire de s'authentifier pour voir ce que d'autres utilisateurs et les conteneurs ont essayé de joindre
file-prove-description = Vérifier si des paquets sortent en dehors du VPN
file-prove-message = Il est nécessaire de s'authentifier pour lire les règles du pare-feu
file-settings-name = Paramètres de tunwarden
file-settings-comment = Affiche et modifie les paramètres du coupe-circuit VPN
file-settings-keywords = VPN;pare-feu;coupe-circuit;paramètres;réseau local;
file-set-description = Modifier les paramètres de tunwarden
file-set-message = Il est nécessaire de s'authentifier pour modifier ce qui peut sortir de cet ordinateur
file-about-summary = Coupe-circuit VPN pour cet ordinateur et ses conteneurs
file-about-1 = tunwarden maintient un pare-feu qui ne laisse rien sortir en dehors du VPN : aucun programme de cet ordinateur, aucun conteneur Docker et aucune machine virtuelle, en IPv4 comme en IPv6. Seul le programme VPN peut joindre ses propres serveurs.
file-about-2 = Un indicateur sur le tableau de bord montre l'état. Une notification avertit quand le VPN est perdu et le reconnecte en un clic.
file-about-3 = L'installation verrouille aussitôt cet ordinateur : aucune page ne s'ouvre tant qu'un VPN n'est pas connecté. La désinstallation rend le réseau.
file-installed-locked = tunwarden : cet ordinateur est verrouillé : rien ne sort en dehors du VPN. Un VPN connecté le reste.
file-installed-wires = tunwarden : cet ordinateur est verrouillé, sauf pour les conteneurs en macvlan ou ipvlan et les programmes qui envoient des paquets bruts. Un VPN connecté le reste.
file-installed-disabled = tunwarden : non verrouillé, car ses unités sont désactivées : sudo systemctl enable --now tunwarden-lock tunwarden
file-installed-failed = tunwarden : NON VERROUILLÉ. Pour savoir pourquoi : journalctl -u tunwarden-lock.service -u tunwarden.service
file-installed-show = afficher l'état :
file-installed-pause = ouvrir pendant cinq minutes :
file-installed-remove = désinstaller définitivement :
