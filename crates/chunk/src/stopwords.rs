//! Words too common to say what a passage is about, in six languages.

use crate::terms::{fold_into, hash};

/// Set of languages, one bit each.
pub(crate) type Languages = u8;

pub(crate) const EN: Languages = 1;
pub(crate) const FA: Languages = 2;
pub(crate) const AR: Languages = 4;
pub(crate) const DE: Languages = 8;
pub(crate) const FR: Languages = 16;
pub(crate) const ES: Languages = 32;
pub(crate) const ALL: Languages = EN | FA | AR | DE | FR | ES;

/// The bit of a BCP 47 primary subtag; 0 for languages without a list.
pub(crate) fn bit(language: &str) -> Languages {
    match language {
        "en" => EN,
        "fa" => FA,
        "ar" => AR,
        "de" => DE,
        "fr" => FR,
        "es" => ES,
        _ => 0,
    }
}

/// Hash table from a folded word to the languages it is a stop word of.
pub(crate) struct StopWords {
    slots: Vec<(String, Languages)>,
}

const SLOTS: usize = 4096;

impl StopWords {
    pub(crate) fn new() -> StopWords {
        let mut all = StopWords {
            slots: vec![(String::new(), 0); SLOTS],
        };
        let lists = [
            (EN, ENGLISH),
            (FA, PERSIAN),
            (AR, ARABIC),
            (DE, GERMAN),
            (FR, FRENCH),
            (ES, SPANISH),
        ];
        for (language, list) in lists {
            for word in list.split_whitespace() {
                let mut folded = String::new();
                fold_into(word, &mut folded);
                let slot = all.slot(&folded);
                all.slots[slot].1 |= language;
                all.slots[slot].0 = folded;
            }
        }
        all
    }

    pub(crate) fn languages(&self, folded: &str) -> Languages {
        self.slots[self.slot(folded)].1
    }

    fn slot(&self, folded: &str) -> usize {
        let mut slot = hash(folded.as_bytes()) as usize % SLOTS;
        // Terminates: the lists fill less than half of the table.
        while self.slots[slot].1 != 0 && self.slots[slot].0 != folded {
            slot = (slot + 1) % SLOTS;
        }
        slot
    }
}

const ENGLISH: &str = "
a about above after again against all almost along already also although always am among an and
another any anyone anything are aren't around as at away back be became because become becomes been
before behind being below between both but by came can can't cannot come comes could couldn't did
didn't do does doesn't doing don't done down during each either else enough etc even ever every
everyone everything far few first for from further get gets getting give given gives go goes going
gone got had hadn't has hasn't have haven't having he he'd he'll her here hers herself him himself
his how however i i'd i'll i'm i've if in indeed instead into is isn't it it's its itself just keep
kept last least less let let's like likely made make makes making many may maybe me might mine more
most mostly much must my myself near need needs neither never next no nobody none nor not nothing
now of off often on once one ones only onto or other others our ours ourselves out over own per
perhaps please put quite rather really same say says see seem seems seen several shall she she'd
she'll should shouldn't since so some someone something sometimes soon still such take taken takes
than that that's the their theirs them themselves then there there's therefore these they they'd
they'll they're they've thing things this those though through thus to together too toward towards
two under until up upon us use used uses using usually very via want wants was wasn't way we we'd
we'll we're we've well went were weren't what whatever when where whether which while who whole
whom whose why will with within without won't would wouldn't yes yet you you'd you'll you're you've
your yours yourself e.g i.e";

const PERSIAN: &str = "
و در به از که این آن را با برای است بود شد شده می نمی ها های یک یا تا هم هر هیچ اما اگر نیز ولی چون
بر باید شود شوند شدند شدن گردد گردید کرد کرده کردن کردند کند کنند کنید کنیم کنم کن دارد دارند دارید
داریم دارم داشت داشته داشتند داشتن باشد باشند باشید باشیم بودند بوده بودن هست هستند هستید هستیم هستم
نیست نیستند نبود نباید نشد نشده نکرد ندارد ندارند خود خویش خودش خودتان آنها آنان اینها ایشان او ما شما
من تو وی چه چرا چگونه چطور کجا کی کدام چند چندین همه همین همان همچنین همواره همیشه هنوز هرگز دیگر دیگری
دیگران بعضی برخی بسیار بسیاری بیشتر بیش کمتر کم خیلی فقط تنها حتی مگر پس پیش بعد قبل سپس اکنون الان
زیرا چنین چنان چنانچه اینکه آنکه آنچه وقتی هنگامی زمانی جایی روی زیر بالا پایین بین میان درون بیرون
کنار نزد نزدیک طی طبق مانند مثل جز بجز بدون علیه درباره دربارهٔ برابر همراه طرف سوی توسط جهت بابت ضمن
نه بله آری خواهد خواهند خواهیم خواهید خواهم تواند توانند توانید توانیم توانم بتواند بتوان توان نتوان
می‌شود می‌شوند نمی‌شود می‌کند می‌کنند می‌کنید می‌کنیم می‌کنم نمی‌کند می‌باشد می‌باشند می‌تواند
می‌توانند می‌توانید می‌توانیم می‌توان نمی‌توان می‌دهد می‌دهند می‌شد می‌کرد می‌کردند می‌رود می‌گیرد
می‌آید می‌خواهد می‌خواهید داده دهد دهند دهید دادن گفت گفته گوید رفت آمد آمده آید گرفت گرفته گیرد یعنی
البته شاید باز ای اند ام ات اش مان تان شان یکی دو سه اول دوم مورد نوع بار کل تمام تمامی اغلب گاهی
معمولا معمولاً حدود تقریبا تقریباً مثلا مثلاً لطفا لطفاً عنوان به‌عنوان به‌صورت صورت آن‌ها این‌ها آن‌که این‌که
هر‌گاه هرگاه همه‌ی";

const ARABIC: &str = "
في من على إلى الى عن مع هذا هذه ذلك تلك هؤلاء أولئك الذي التي الذين اللذان اللتان اللاتي ما ماذا لماذا
متى أين كيف كم هل أن إن أنه إنه أنها إنها كان كانت كانوا يكون تكون يكونون ليس ليست لا لم لن قد لقد سوف
ثم أو أم بل لكن ولكن حتى إذا إذ لو لولا كل بعض غير سوى بين تحت فوق أمام وراء خلف عند عندما حيث حين
بعد قبل منذ خلال حول ضد دون بدون هو هي هم هن أنا نحن أنت أنتم له لها لهم به بها بهم فيه فيها فيهم عليه
عليها عليهم منه منها منهم إليه إليها عنه عنها وهو وهي وفي ومن وعلى وإلى وأن وإن وكان وكانت وقد ولا ولم
وما أي أيضا أيضاً كما كذلك مثل فقط جدا جداً أكثر أقل أول آخر أخرى وذلك وهذا وهذه فإن لأن يمكن تم يتم
هناك هنا الآن ربما نعم كلا التى الذى عبر لدى ضمن نحو أحد إحدى كلها كله جميع";

const GERMAN: &str = "
aber alle allem allen aller alles als also am an ander andere anderen anderer anderes auch auf aus
bei beim bin bis bist da dabei dadurch dafür dagegen daher damit danach dann daran darauf daraus
darin darum das dass dasselbe davon davor dazu dein deine dem den denn der deren derselbe des
deshalb dessen die dies diese dieselbe diesem diesen dieser dieses dir doch dort du durch ein eine
einem einen einer eines einige einigen einmal er es etwas euch euer eure für gegen gewesen hab habe
haben hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer ihres im immer
in indem ins ist ja jede jedem jeden jeder jedes jedoch jene jenem jenen jener jenes jetzt kann kein
keine keinem keinen keiner keines können könnte mal man manche manchem manchen mancher mehr mein
meine meinem meinen meiner mich mir mit muss müssen musste nach nicht nichts noch nun nur ob oder
ohne sehr sei sein seine seinem seinen seiner seines seit selbst sich sie sind so solche solchem
solchen solcher soll sollte sondern sonst sowie über um und uns unser unsere unter viel vom von vor
während war waren warst was weg weil weiter welche welchem welchen welcher welches wenn wer werde
werden wie wieder will wir wird wirst wo wollen wollte wurde wurden würde würden zu zum zur zwar
zwischen usw bzw";

const FRENCH: &str = "
a ai ainsi alors après as au aucun aucune aussi autre autres aux avant avec avez avoir avons bien
car ce ceci cela celle celles celui ces cet cette ceux chaque chez ci comme comment contre dans de
deja déjà depuis des deux dois doit donc dont du elle elles en encore entre est et été être étaient
était eu eux faire fait faut fois font hors il ils je jusque la le les leur leurs lors lorsque lui
ma mais me même mêmes mes moi moins mon ne ni non nos notre nous on ont ou où par parce pas pendant
peu peut peuvent plus pour pourquoi pouvez qu quand que quel quelle quelles quels qui quoi sa sans
se sera ses si son sont sous sur ta tandis te tel telle tes toi ton tous tout toute toutes très trop
tu un une vers voici voilà vos votre vous vu y à ça était c'est d'un d'une l'on n'est qu'il qu'elle
qu'un qu'une s'il";

const SPANISH: &str = "
a al algo algunas algunos ante antes aquel aquella aquellos aquí así aún aunque cada casi como con
contra cual cuales cuando de del desde donde dos durante e el él ella ellas ellos en entre era eran
eres es esa esas ese eso esos esta está estaba estado están estar estas este esto estos fue fueron
ha había han has hasta hay he hace hacer la las le les lo los luego más me mi mientras mis mucho
muchos muy nada ni no nos nosotros nuestra nuestro o os otra otras otro otros para pero poco por
porque pues puede pueden que qué quien quién se sea según ser si sí sido siempre sin sobre solo sólo
son soy su sus también tan tanto te tener tiene tienen todo toda todas todos tu tus un una unas uno
unos usted ustedes va ya yo";
