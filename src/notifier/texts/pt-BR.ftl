# Frases para o usuário. $name é o nome de uma VPN, $program o de um programa.

lost-title = VPN perdida: { $name }
lost-body = Nada sai deste computador sem proteção. A internet voltará a funcionar quando a VPN voltar.
lost-since = Perdida às { $at }.
waiting = { $count ->
    [one] Um contêiner está esperando por ela.
   *[other] { $count } contêineres estão esperando por ela.
}
reconnecting-title = Conectando novamente: { $name }
still-closed = Nada sai deste computador sem proteção.
wires-open = Neste sistema não são barrados os contêineres em macvlan ou ipvlan nem os programas que enviam pacotes brutos.
flapping-title = VPN instável: { $name }
flapping-body = Ela caiu { $count } vezes em um minuto.
back-title = Protegido novamente
back-body = Tudo passa novamente por { $name }.
steady-title = VPN estável novamente
steady-body = { $name } está com conexão há um minuto.

paused-title = A proteção está desativada até as { $until }
paused-body = { $minutes ->
    [one] Por um minuto, tudo sai deste computador sem a VPN.
   *[other] Por { $minutes } minutos, tudo sai deste computador sem a VPN.
}
portal-title = Aberto para fazer login até as { $until }
portal-body = As solicitações de páginas web e de nomes saem deste computador sem a VPN. Isso termina quando a VPN se conecta.
portal-found-title = Esta rede pede que você faça login
portal-found-body = Antes disso, talvez a VPN não se conecte. Para fazer login, você pode liberar páginas web e nomes por 10 minutos: eles saem deste computador sem a VPN. É necessária a senha de um administrador.
resumed-title = A proteção está ativada novamente
resumed-protected = Tudo passa pela VPN.
resumed-locked = Nada sai deste computador até que a VPN seja conectada.

failed-title = Este computador não está protegido
failed-body = Não foi possível estabelecer a proteção: algo pode sair deste computador por fora da VPN.
failed-retry = O tunwarden continua tentando. Até lá, é melhor se desconectar da rede.
closed-title = Este computador está bloqueado, mas a proteção prevista falhou
closed-body = Não foi possível estabelecer a proteção prevista, por isso valem outras regras. Talvez a VPN não funcione. O tunwarden continua tentando.
unread-title = Não se sabe se este computador está protegido
unread-body = O tunwarden não consegue verificar a proteção: algo pode sair deste computador por fora da VPN.
in-force-title = A proteção está em vigor novamente
in-force-body = Nada sai deste computador por fora da VPN.

repaired-title = A proteção foi danificada e reparada
repaired-body = { $count ->
    [one] Um programa deste computador removeu parte da proteção. O tunwarden a restaurou imediatamente.
   *[other] Um programa deste computador removeu parte da proteção { $count } vezes. O tunwarden a restaurou todas as vezes.
}
repaired-by-body = { $count ->
    [one] { $program } removeu parte da proteção. O tunwarden a restaurou imediatamente.
   *[other] { $program } removeu parte da proteção { $count } vezes. O tunwarden a restaurou todas as vezes.
}
fight-title = Um programa remove a proteção repetidamente
fight-by-title = { $program } remove a proteção repetidamente
fight-body = O tunwarden a restaurou { $count } vezes em um minuto. Dois programas não podem decidir ao mesmo tempo o que sai deste computador: desative o outro.

gone-title = O tunwarden não está em execução
gone-body = A VPN não está sendo monitorada e a proteção não está sendo verificada.
gone-hint = Um administrador pode iniciá-lo: sudo systemctl start tunwarden
returned-title = O tunwarden está em execução novamente
returned-body = Ele voltou a monitorar a VPN.

welcome-title = Este computador está bloqueado até que uma VPN seja conectada
welcome-body = O tunwarden está instalado: nada sai deste computador por fora de uma VPN.
welcome-connect = Conecte sua VPN e a internet voltará a funcionar.
welcome-no-vpn = Nenhuma VPN é conhecida aqui ainda: adicione uma nas configurações de rede ou inicie seu programa de VPN.
welcome-not-counting = Nenhuma das VPNs deste computador conta. Para ver por quê, em um terminal: tunwarden status
welcome-pause = Para abrir tudo por um tempo: a pausa, no menu do escudo no painel.
welcome-init = Para adaptar a proteção a este computador, em um terminal: sudo tunwarden init
welcome-leave = Para removê-lo: sudo apt remove tunwarden

uncounted-title = Nada passa por { $name }
uncounted-body = Todo o tráfego vai para { $name }, que não conta como sua VPN.
missed-title = A VPN foi perdida enquanto você estava ausente
missed-body = { $name } foi perdida às { $at } e já voltou.
missed-closed = Durante esse tempo, nada saiu deste computador sem proteção.
missed-open = Durante esse tempo, a proteção estava desativada, danificada ou não pôde ser verificada: algo pode ter saído deste computador sem proteção.

refused-title = A solicitação não foi atendida
refused-reconnect = Não foi possível conectar a VPN.
refused-pause = A pausa não foi iniciada.
refused-resume = A pausa não foi encerrada.
refused-blocked = Não se sabe o que foi recusado.
refused-journal = O registro não foi aberto.
refused-check = A verificação não foi feita.
refused-why = Motivo: { $why }
not-allowed = É necessária a senha de um administrador.
not-running = O tunwarden não está em execução.
no-pkexec = O pkexec não está instalado. Em um terminal: sudo tunwarden prove
no-home = Você não tem uma pasta pessoal para o relatório.
check-old = A proteção mudou durante a verificação: verifique novamente.
no-network-manager = O NetworkManager não está em execução.
no-profile = O NetworkManager não tem essa VPN para você.
no-password = O NetworkManager não tem senha para ela, ou a senha está errada.
no-answer = O servidor dela não respondeu a tempo.
connect-ended = O NetworkManager encerrou a conexão. Para ver por quê, em um terminal: journalctl -u NetworkManager
no-terminal = Nenhum programa de terminal foi encontrado. Tente: tunwarden log

detail-title = Detalhes da proteção
detail-state = Estado: { $state }
detail-since = Desde: { $at }
detail-tunnel = VPN: { $name }, por { $interface }
detail-server = Servidor da VPN: { $server }
detail-repairs = { $count ->
    [one] Reparada uma vez desde que o tunwarden foi iniciado.
   *[other] Reparada { $count } vezes desde que o tunwarden foi iniciado.
}
detail-why = O tunwarden informa: { $why }
detail-hint = Para ver todos os detalhes em um terminal: tunwarden status
no-tunnel = Sem VPN

state-protected = Protegido
state-connecting = Conectando
state-locked = Bloqueado, sem VPN
state-lost = VPN perdida
state-failed = Não protegido
state-paused = Proteção desativada
state-closed = Bloqueado por outras regras
state-unread = Desconhecido: não é possível verificar a proteção
state-unknown = Desconhecido: o tunwarden não responde
since = desde as { $at }
until = até as { $until }
left = { $minutes ->
    [one] falta um minuto
   *[other] faltam { $minutes } minutos
}
tunnel = VPN: { $name } ({ $interface })

blocked = Recusado
blocked-title = Recusado na última hora
blocked-line = { $destination }, { $count ->
    [one] uma vez
   *[other] { $count } vezes
}: { $why }
blocked-by = { $who } para { $destination }, { $count ->
    [one] uma vez
   *[other] { $count } vezes
}: { $why }
blocked-nothing = Nada foi recusado aos seus programas.
blocked-hint = Para ver mais em um terminal: tunwarden blocked
blocked-unknown = por outro motivo
blocked-no-vpn = sem VPN
blocked-vpn-lost = a VPN foi perdida
blocked-not-through-tunnel = não permitido através da VPN
blocked-container-not-through-tunnel = não permitido através da VPN para contêineres
blocked-dns-outside-tunnel = um nome, por fora da VPN
blocked-not-on-link = fora da rede local
blocked-lan-off = a rede local está desativada
blocked-multicast = um grupo da rede local
blocked-not-vpn-client = somente para o programa de VPN
blocked-unknown-server = servidor de VPN desconhecido
blocked-container-policy = não permitido para este contêiner
blocked-published-ports = porta não publicada
blocked-inbound = vindo de fora
blocked-raw-frame = contornando as regras do sistema
blocked-paused-portal = a pausa é somente para fazer login

reconnect = Reconectar
connect = Conectar { $name }
details = Detalhes
pause = Pausar por { $minutes } minutos
pause-portal = Pausar para fazer login nesta rede
pause-portal-short = Pausar e fazer login
journal = Abrir o registro
resume = Retomar
check = Verificar este computador
check-proven = Verificado: nenhum pacote sai deste computador sem proteção
check-open = Verificado: pacotes podem sair deste computador sem proteção
check-not-shown = Verificado: não se sabe se pacotes saem deste computador sem proteção
check-report = O relatório: { $file }
check-hint = Para enviar também pacotes de teste, em um terminal: sudo tunwarden prove --live

reason-link-gone = A conexão dela terminou inesperadamente.
reason-link-down = A conexão dela foi desativada.
reason-no-address = A conexão dela existe, mas não pode mais ser usada.
reason-no-route = Outra rota leva seus dados por fora da VPN.
reason-client-restarts = O servidor dela não responde mais.
reason-client-ended = O programa de VPN foi encerrado.
reason-device-gone = A rede que ela usava desapareceu.
reason-service-stopped = O programa de VPN foi interrompido.
reason-ended = Ela terminou sem que ninguém pedisse.
reason-silent-server = O servidor dela não responde mais.
reason-management-restarts = Ela perdeu seu servidor e o procura novamente.
reason-management-ends = O programa de VPN está se encerrando sem que ninguém pedisse.
reason-management-closed = O programa de VPN não informa mais seu estado.
reason-restarted = Ela está se conectando novamente.

## A janela de configurações, o pacote tunwarden-settings. A letra depois de _ é a tecla com Alt. Cada texto é uma linha.

window-tab-state = E_stado
window-tab-settings = _Configurações
window-tab-blocked = _Bloqueado
window-verdict-protected = Os programas só chegam à internet pela VPN.
window-verdict-locked = Nada vai para a internet até que uma VPN esteja conectada.
window-verdict-open = Os programas podem chegar à internet por fora da VPN.
window-verdict-unknown = Não se sabe o que sai deste computador.
window-report = Mostrar o relatório
window-wait = Aguarde …
window-lan = Acessar a rede _local
window-lan-about = Impressoras, servidores de arquivos e outras máquinas. Nomes de páginas nunca são consultados ali.
window-published = Abrir as portas dos con_têineres para a rede local
window-published-about = Caso contrário, só este computador acessa as portas que os contêineres publicam.
window-input = Portas que outros podem abrir
window-input-about = As respostas sempre entram. Sem nenhuma entrada, nenhuma outra máquina pode se conectar a um programa deste computador.
window-rule = { $protocol } { $ports } de { $from }
window-rule-any = { $protocol } { $ports } de qualquer endereço
window-rule-tunnel = { $what }, pela VPN
window-protocol = P_rotocolo
window-port = _Porta
window-from = _Da rede
window-from-hint = 192.168.0.0/16; vazio: qualquer endereço
window-add = Ad_icionar
window-remove = Remover { $what }
window-vpns = VPNs que contam
window-vpns-all = T_odas as VPNs deste computador
window-vpns-about = Outros usuários deste computador também podem criar uma VPN. Para confiar só na sua, escolha-a aqui.
window-vpns-chosen = So_mente estas:
window-reconnect = _Quando a VPN é perdida
window-reconnect-ask = perguntar
window-reconnect-auto = conectar de novo
window-reconnect-never = não fazer nada
window-opens = Isto abre: { $what }
window-opens-lan = a rede local, para este computador
window-opens-published = as portas dos contêineres, para a rede local
window-opens-vpns = os túneis e servidores de mais VPNs
window-apply = _Aplicar
window-undo = Des_fazer
window-applied = As configurações estão em vigor.
window-saved = As configurações foram salvas. Elas entram em vigor quando o tunwarden iniciar.
window-changed = O arquivo tem agora outras configurações. Nada foi alterado. Escolha novamente.
window-refused = As configurações não estão em vigor.
window-unread = Não é possível ler as configurações.
window-wrong-port = Escreva uma porta de 1 a 65535, ou um intervalo como 6000-6007.
window-wrong-from = Escreva uma rede, por exemplo 192.168.0.0/16.
window-wrong-vpns = Escolha pelo menos uma VPN.
window-who = Programa
window-where = Destino
window-count = Quantas vezes
window-why = Motivo
window-own = um programa seu
window-refresh = At_ualizar

## Textos dos arquivos do pacote: o menu, o polkit, o gerenciador de aplicativos e a instalação.

file-menu-generic = Trava de segurança para VPN
file-menu-comment = Mostra se este computador está protegido
file-menu-keywords = VPN;firewall;trava de segurança;privacidade;vazamento;
file-autostart-comment = Avisa quando a VPN é perdida e mostra se este computador está protegido
file-pause-description = Abrir o firewall por tempo limitado
file-pause-message = É necessário se autenticar para permitir tráfego por fora da VPN
file-reconnect-description = Conectar a VPN novamente
file-reconnect-message = É necessário se autenticar para conectar a VPN novamente
file-blocked-description = Ver o que foi recusado a outros usuários e aos contêineres
file-blocked-message = É necessário se autenticar para ver o que outros usuários e os contêineres tentaram acessar
file-prove-description = Verificar se pacotes saem por fora da VPN
file-prove-message = É necessário se autenticar para ler as regras do firewall
file-settings-name = Configurações do tunwarden
file-settings-comment = Mostra e altera as configurações da trava de segurança para VPN
file-settings-keywords = VPN;firewall;trava de segurança;configurações;rede local;
file-set-description = Alterar as configurações do tunwarden
file-set-message = É necessário se autenticar para alterar o que pode sair deste computador
file-about-summary = Trava de segurança de VPN para este computador e seus contêineres
file-about-1 = O tunwarden mantém um firewall que não deixa nada sair por fora da VPN: nenhum programa deste computador, nenhum contêiner do Docker e nenhuma máquina virtual, com IPv4 e IPv6. Somente o programa de VPN pode acessar seus próprios servidores.
file-about-2 = Um indicador no painel mostra o estado. Uma notificação avisa quando a VPN é perdida e a conecta novamente com um clique.
file-about-3 = A instalação bloqueia este computador imediatamente: até que uma VPN seja conectada, nenhuma página abre. Ao remover o pacote, a rede volta.
file-installed-locked = tunwarden: este computador está bloqueado: nada sai por fora da VPN. Uma VPN conectada continua conectada.
file-installed-wires = tunwarden: este computador está bloqueado, exceto para contêineres em macvlan ou ipvlan e programas que enviam pacotes brutos. Uma VPN conectada continua conectada.
file-installed-disabled = tunwarden: não bloqueado, porque suas unidades estão desativadas: sudo systemctl enable --now tunwarden-lock tunwarden
file-installed-failed = tunwarden: NÃO BLOQUEADO. Para ver por quê: journalctl -u tunwarden-lock.service -u tunwarden.service
file-installed-show = mostrar o estado:
file-installed-pause = abrir por cinco minutos:
file-installed-remove = remover de vez:
