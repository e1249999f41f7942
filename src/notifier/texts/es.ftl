# Frases para el usuario. $name es el nombre de una VPN, $program el de un programa.

lost-title = VPN perdida: { $name }
lost-body = Nada sale de este equipo sin protección. Internet volverá a funcionar cuando la VPN se restablezca.
lost-since = Perdida a las { $at }.
waiting = { $count ->
    [one] Un contenedor la está esperando.
   *[other] { $count } contenedores la están esperando.
}
reconnecting-title = Conectando de nuevo: { $name }
still-closed = Nada sale de este equipo sin protección.
wires-open = En este sistema no se detienen los contenedores en macvlan o ipvlan ni los programas que envían paquetes sin procesar.
flapping-title = VPN inestable: { $name }
flapping-body = Se perdió { $count } veces en un minuto.
back-title = Protegido de nuevo
back-body = Todo pasa de nuevo por { $name }.
steady-title = VPN estable de nuevo
steady-body = { $name } lleva un minuto con conexión.

paused-title = La protección está desactivada hasta las { $until }
paused-body = { $minutes ->
    [one] Durante un minuto, todo sale de este equipo sin la VPN.
   *[other] Durante { $minutes } minutos, todo sale de este equipo sin la VPN.
}
portal-title = Abierto para iniciar sesión hasta las { $until }
portal-body = Las peticiones de páginas web y de nombres salen de este equipo sin la VPN. Esto termina cuando la VPN se conecta.
portal-found-title = Esta red pide iniciar sesión
portal-found-body = Es posible que la VPN no se conecte antes de eso. Para iniciar sesión puede abrir las páginas web y los nombres durante 10 minutos: salen de este equipo sin la VPN. Se necesita la contraseña de un administrador.
resumed-title = La protección vuelve a estar activada
resumed-protected = Todo pasa por la VPN.
resumed-locked = Nada sale de este equipo hasta que la VPN esté conectada.

failed-title = Este equipo no está protegido
failed-body = No se pudo establecer la protección: puede salir algo de este equipo por fuera de la VPN.
failed-retry = tunwarden sigue intentándolo. Mientras tanto, lo mejor es desconectarse de la red.
closed-title = Este equipo está bloqueado, pero la protección prevista ha fallado
closed-body = No se pudo establecer la protección prevista, por lo que se aplican otras reglas. Es posible que la VPN no funcione. tunwarden sigue intentándolo.
unread-title = No se sabe si este equipo está protegido
unread-body = tunwarden no puede comprobar la protección: puede salir algo de este equipo por fuera de la VPN.
in-force-title = La protección vuelve a estar en vigor
in-force-body = Nada sale de este equipo por fuera de la VPN.

repaired-title = La protección se dañó y se ha reparado
repaired-body = { $count ->
    [one] Un programa de este equipo eliminó parte de la protección. tunwarden la restauró de inmediato.
   *[other] Un programa de este equipo eliminó parte de la protección { $count } veces. tunwarden la restauró cada vez.
}
repaired-by-body = { $count ->
    [one] { $program } eliminó parte de la protección. tunwarden la restauró de inmediato.
   *[other] { $program } eliminó parte de la protección { $count } veces. tunwarden la restauró cada vez.
}
fight-title = Un programa elimina la protección una y otra vez
fight-by-title = { $program } elimina la protección una y otra vez
fight-body = tunwarden la restauró { $count } veces en un minuto. Dos programas no pueden decidir a la vez lo que sale de este equipo: desactive el otro.

gone-title = tunwarden no se está ejecutando
gone-body = La VPN no se vigila y la protección no se comprueba.
gone-hint = Un administrador puede iniciarlo: sudo systemctl start tunwarden
returned-title = tunwarden se está ejecutando de nuevo
returned-body = Vuelve a vigilar la VPN.

welcome-title = Este equipo está bloqueado hasta que se conecte una VPN
welcome-body = tunwarden está instalado: nada sale de este equipo por fuera de una VPN.
welcome-connect = Conecte su VPN e Internet volverá a funcionar.
welcome-no-vpn = Aquí aún no se conoce ninguna VPN: añada una en la configuración de red o inicie su programa de VPN.
welcome-not-counting = Ninguna de las VPN de este equipo cuenta. Para ver por qué, en una terminal: tunwarden status
welcome-pause = Para abrirlo todo un rato: la pausa, en el menú del escudo del panel.
welcome-init = Para adaptar la protección a este equipo, en una terminal: sudo tunwarden init
welcome-leave = Para desinstalarlo: sudo apt remove tunwarden

uncounted-title = Nada pasa por { $name }
uncounted-body = Todo el tráfico va a { $name }, que no cuenta como su VPN.
missed-title = La VPN se perdió durante su ausencia
missed-body = { $name } se perdió a las { $at } y se ha restablecido.
missed-closed = Durante ese tiempo, nada salió de este equipo sin protección.
missed-open = Durante ese tiempo, la protección estaba desactivada, dañada o no se podía comprobar: puede haber salido algo de este equipo sin protección.

refused-title = La petición no se llevó a cabo
refused-reconnect = No se pudo conectar la VPN.
refused-pause = La pausa no se inició.
refused-resume = La pausa no terminó.
refused-blocked = No se sabe qué se rechazó.
refused-journal = No se abrió el registro.
refused-check = La comprobación no se hizo.
refused-why = Motivo: { $why }
not-allowed = Se necesita la contraseña de un administrador.
not-running = tunwarden no se está ejecutando.
no-pkexec = pkexec no está instalado. En una terminal: sudo tunwarden prove
no-home = No tiene una carpeta personal para el informe.
check-old = La protección cambió durante la comprobación: compruebe de nuevo.
no-network-manager = NetworkManager no se está ejecutando.
no-profile = NetworkManager no tiene esa VPN para usted.
no-password = NetworkManager no tiene contraseña para ella, o es incorrecta.
no-answer = Su servidor no respondió a tiempo.
connect-ended = NetworkManager terminó la conexión. Para ver por qué, en una terminal: journalctl -u NetworkManager
no-terminal = No se encontró ningún programa de terminal. Pruebe: tunwarden log

detail-title = Detalles de la protección
detail-state = Estado: { $state }
detail-since = Desde: { $at }
detail-tunnel = VPN: { $name }, por { $interface }
detail-server = Su servidor: { $server }
detail-repairs = { $count ->
    [one] Reparada una vez desde que se inició tunwarden.
   *[other] Reparada { $count } veces desde que se inició tunwarden.
}
detail-why = tunwarden informa: { $why }
detail-hint = Para ver todos los detalles en una terminal: tunwarden status
no-tunnel = Sin VPN

state-protected = Protegido
state-connecting = Conectando
state-locked = Bloqueado, sin VPN
state-lost = VPN perdida
state-failed = No protegido
state-paused = Protección desactivada
state-closed = Bloqueado por otras reglas
state-unread = Desconocido: no se puede comprobar la protección
state-unknown = Desconocido: tunwarden no responde
since = desde las { $at }
until = hasta las { $until }
left = { $minutes ->
    [one] queda un minuto
   *[other] quedan { $minutes } minutos
}
tunnel = VPN: { $name } ({ $interface })

blocked = Rechazado
blocked-title = Rechazado en la última hora
blocked-line = { $destination }, { $count ->
    [one] una vez
   *[other] { $count } veces
}: { $why }
blocked-by = { $who } hacia { $destination }, { $count ->
    [one] una vez
   *[other] { $count } veces
}: { $why }
blocked-nothing = No se ha rechazado nada a sus programas.
blocked-hint = Para ver más en una terminal: tunwarden blocked
blocked-unknown = por otro motivo
blocked-no-vpn = sin VPN
blocked-vpn-lost = la VPN se ha perdido
blocked-not-through-tunnel = no permitido a través de la VPN
blocked-container-not-through-tunnel = no permitido a los contenedores a través de la VPN
blocked-dns-outside-tunnel = un nombre, por fuera de la VPN
blocked-not-on-link = fuera de la red local
blocked-lan-off = la red local está desactivada
blocked-multicast = un grupo de la red local
blocked-not-vpn-client = solo para el programa de VPN
blocked-unknown-server = servidor VPN desconocido
blocked-container-policy = no permitido a este contenedor
blocked-published-ports = puerto no publicado
blocked-inbound = desde fuera
blocked-raw-frame = al margen de las reglas del sistema
blocked-paused-portal = la pausa es solo para iniciar sesión

reconnect = Reconectar
connect = Conectar { $name }
details = Detalles
pause = Pausar { $minutes } minutos
pause-portal = Pausar para iniciar sesión en esta red
pause-portal-short = Pausar e iniciar sesión
journal = Abrir el registro
resume = Reanudar
check = Comprobar este equipo
check-proven = Comprobado: ningún paquete sale de este equipo sin protección
check-open = Comprobado: pueden salir paquetes de este equipo sin protección
check-not-shown = Comprobado: no se sabe si salen paquetes de este equipo sin protección
check-report = El informe: { $file }
check-hint = Para enviar también paquetes de prueba, en una terminal: sudo tunwarden prove --live

reason-link-gone = Su conexión terminó inesperadamente.
reason-link-down = Su conexión se desactivó.
reason-no-address = Su conexión existe, pero ya no se puede usar.
reason-no-route = Otra ruta lleva sus datos por fuera de la VPN.
reason-client-restarts = Su servidor ya no responde.
reason-client-ended = El programa de VPN ha terminado.
reason-device-gone = La red que usaba ha desaparecido.
reason-service-stopped = El programa de VPN se detuvo.
reason-ended = Terminó sin que nadie lo pidiera.
reason-silent-server = Su servidor ya no responde.
reason-management-restarts = Ha perdido su servidor y lo busca de nuevo.
reason-management-ends = El programa de VPN está terminando sin que nadie lo pidiera.
reason-management-closed = El programa de VPN ya no informa de su estado.
reason-restarted = Se está conectando de nuevo.

## La ventana de ajustes, el paquete tunwarden-settings. La letra tras _ es su tecla con Alt. Cada texto es una línea.

window-tab-state = E_stado
window-tab-settings = A_justes
window-tab-blocked = _Bloqueado
window-verdict-protected = Los programas llegan a Internet solo a través de la VPN.
window-verdict-locked = Nada va a Internet hasta que haya una VPN conectada.
window-verdict-open = Los programas pueden llegar a Internet por fuera de la VPN.
window-verdict-unknown = No se sabe qué sale de este equipo.
window-report = Mostrar el informe
window-wait = Espere, por favor …
window-lan = Llegar a la red _local
window-lan-about = Impresoras, servidores de archivos y otras máquinas. Allí nunca se consultan nombres de páginas web.
window-published = Abrir los puertos de los _contenedores a la red local
window-published-about = De lo contrario, solo este equipo llega a los puertos que publican los contenedores.
window-input = Puertos que otros pueden abrir
window-input-about = Las respuestas siempre entran. Sin ninguna entrada, ninguna otra máquina puede conectarse a un programa de este equipo.
window-rule = { $protocol } { $ports } desde { $from }
window-rule-any = { $protocol } { $ports } desde cualquier dirección
window-rule-tunnel = { $what }, a través de la VPN
window-protocol = P_rotocolo
window-port = _Puerto
window-from = _Desde la red
window-from-hint = 192.168.0.0/16; vacío: cualquier dirección
window-add = A_ñadir
window-remove = Quitar { $what }
window-vpns = VPN que cuentan
window-vpns-all = T_odas las VPN de este equipo
window-vpns-about = Otros usuarios de este equipo también pueden crear una VPN. Para confiar solo en la suya, elíjala aquí.
window-vpns-chosen = Solo es_tas:
window-reconnect = C_uando se pierde la VPN
window-reconnect-ask = preguntarme
window-reconnect-auto = volver a conectarla
window-reconnect-never = no hacer nada
window-opens = Esto abre: { $what }
window-opens-lan = la red local, para este equipo
window-opens-published = los puertos de los contenedores, para la red local
window-opens-vpns = los túneles y servidores de más VPN
window-apply = _Aplicar
window-undo = Des_hacer
window-applied = Los ajustes están en vigor.
window-saved = Los ajustes se han guardado. Entrarán en vigor cuando se inicie tunwarden.
window-changed = El archivo tiene ahora otros ajustes. No se ha cambiado nada. Elija de nuevo.
window-refused = Los ajustes no están en vigor.
window-unread = No se pueden leer los ajustes.
window-wrong-port = Escriba un puerto de 1 a 65535, o un intervalo como 6000-6007.
window-wrong-from = Escriba una red, por ejemplo 192.168.0.0/16.
window-wrong-vpns = Elija al menos una VPN.
window-who = Programa
window-where = Destino
window-count = Cuántas veces
window-why = Motivo
window-own = un programa suyo
window-refresh = Actuali_zar

## Textos de los archivos del paquete: el menú, polkit, el gestor de software y la instalación.

file-menu-generic = Interruptor de seguridad para VPN
file-menu-comment = Muestra si este equipo está protegido
file-menu-keywords = VPN;cortafuegos;interruptor de seguridad;privacidad;fuga;
file-autostart-comment = Avisa cuando se pierde la VPN y muestra si este equipo está protegido
file-pause-description = Abrir el cortafuegos por un tiempo limitado
file-pause-message = Se necesita autenticación para permitir el tráfico por fuera de la VPN
file-reconnect-description = Volver a conectar la VPN
file-reconnect-message = Se necesita autenticación para volver a conectar la VPN
file-blocked-description = Ver qué se rechazó a otros usuarios y a los contenedores
file-blocked-message = Se necesita autenticación para ver a dónde intentaron conectarse otros usuarios y los contenedores
file-prove-description = Comprobar si salen paquetes por fuera de la VPN
file-prove-message = Se necesita autenticación para leer las reglas del cortafuegos
file-settings-name = Ajustes de tunwarden
file-settings-comment = Muestra y cambia los ajustes del interruptor de seguridad para VPN
file-settings-keywords = VPN;cortafuegos;interruptor de seguridad;ajustes;red local;
file-set-description = Cambiar los ajustes de tunwarden
file-set-message = Se necesita autenticación para cambiar lo que puede salir de este equipo
file-about-summary = Interruptor de seguridad de VPN para este equipo y sus contenedores
file-about-1 = tunwarden mantiene un cortafuegos que no deja salir nada por fuera de la VPN: ningún programa de este equipo, ningún contenedor de Docker y ninguna máquina virtual, con IPv4 e IPv6. Solo el programa de VPN puede llegar a sus propios servidores.
file-about-2 = Un indicador en el panel muestra el estado. Una notificación avisa cuando se pierde la VPN y la vuelve a conectar con un clic.
file-about-3 = La instalación bloquea este equipo al momento: hasta que se conecte una VPN, no se abre ninguna página. Al desinstalarlo, la red vuelve.
file-installed-locked = tunwarden: este equipo está bloqueado: nada sale por fuera de la VPN. Una VPN conectada sigue conectada.
file-installed-wires = tunwarden: este equipo está bloqueado, salvo para los contenedores en macvlan o ipvlan y los programas que envían paquetes sin procesar. Una VPN conectada sigue conectada.
file-installed-disabled = tunwarden: no está bloqueado, porque sus unidades están desactivadas: sudo systemctl enable --now tunwarden-lock tunwarden
file-installed-failed = tunwarden: NO BLOQUEADO. Para ver por qué: journalctl -u tunwarden-lock.service -u tunwarden.service
file-installed-show = mostrar el estado:
file-installed-pause = abrir durante cinco minutos:
file-installed-remove = desinstalar por completo:
